"""``POST /results`` with a large body: time, and memory of the processes that serve it."""

from __future__ import annotations

import asyncio
import json
import os
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import IO
from uuid import uuid4

import httpx
import jwt
import psutil

from kerma_common.blobs.store import open_blobs
from kerma_common.clock import system_clock
from kerma_common.contracts.envelope import Meta, make_commit
from kerma_common.contracts.events.jobs import JobSubmitted
from kerma_common.contracts.ids import commit_id, job_id
from kerma_common.contracts.refs import Ref
from kerma_common.contracts.subjects import job_subject
from kerma_common.eventlog.jetstream import JetStreamLog
from kerma_common.nats import connection
from kerma_common.security.update_keys import load_update_keys
from kerma_common.settings import BlobSettings
from kerma_engines.adapter.packing import encode_inputs
from kerma_engines.adapter.port import InputSet
from kerma_tools.bench.figure import Figure
from kerma_tools.bench.platform import Platform, platform
from kerma_tools.bench.run import limit

BODY_BYTES = 95 << 20
SMALL_BYTES = 1 << 20
ESTIMATORS, PAGES = 4, 10
LOOK_SECONDS = 0.05
SETTLE_SECONDS = 5.0
SECRET = "KERMA_UPDATE_KEYS_SECRET_FILE"  # noqa: S105 - the name of a variable
_DATABASE = frozenset({"postgres", "nats-server"})


def deliveries() -> Iterable[Figure]:
    """Measure a body of numbers with all their digits, as scripts on clusters post it."""
    with platform(slots=0) as found, tempfile.TemporaryFile() as file:
        _deliver(found, *_written(file, SMALL_BYTES))  # so that everything is imported
        body, size = _written(file, BODY_BYTES)
        time.sleep(SETTLE_SECONDS)
        with _watched(found.running.pid) as peak:
            before = peak()
            took, complete = _deliver(found, body, size)
            grown = peak() - before
    megabytes = size / 2**20
    yield limit(f"POST /results, {megabytes:.0f} MiB, to 202", took, "s", 6.0)
    yield limit("the same, until every page can be read", complete, "s", 10.0)
    yield limit(
        f"growth of memory during it, without PostgreSQL and NATS (PSS), {megabytes:.0f} MiB",
        grown,
        "MiB",
        100.0,
    )


def _written(file: IO[bytes], size: int) -> tuple[IO[bytes], int]:
    """Write the estimators of a body of about this size; return it with its size."""
    file.seek(0)
    file.truncate()
    numbers = random.Random(1)  # noqa: S311
    bins = size // (ESTIMATORS * PAGES * 21)
    for estimator in range(ESTIMATORS):
        pages = [_page(number, bins, numbers) for number in range(PAGES)]
        made = {"name": f"output{estimator}_", "metadata": {"host": "node"}, "pages": pages}
        file.write(b"," * bool(estimator) + json.dumps(made).encode())
    return file, file.tell()


def _page(number: int, bins: int, numbers: random.Random) -> dict[str, object]:
    axis = {"name": "Z", "unit": "cm", "values": [n / 4 for n in range(100)]}
    return {
        "dimensions": 2,
        "data": {
            "name": "DOSE",
            "unit": "MeV/g",
            "values": [numbers.random() for _ in range(100 * (bins // 100))],
        },
        "axis_dim1": axis,
        "axis_dim2": {**axis, "values": [n / 4 for n in range(bins // 100)]},
        "metadata": {"page_number": str(number), "name": "DOSE"},
    }


def _deliver(found: Platform, body: IO[bytes], size: int) -> tuple[float, float]:
    """Deliver results of a new job; return the seconds to the answer, and to readable pages."""
    name, number = asyncio.run(_submitted(found))
    os.environ[SECRET] = found.running.settings[SECRET]
    key, _ = load_update_keys(system_clock).issue(name, number)
    head = f'{{"simulation_id":{number},"update_key":"{key}","estimators":['.encode()
    body.seek(0)

    def pieces() -> Iterator[bytes]:
        yield head
        while piece := body.read(1 << 18):
            yield piece
        yield b"]}"

    length = str(len(head) + size + 2)
    with httpx.Client(base_url=found.running.url, timeout=300) as client:
        began = time.perf_counter()
        answer = client.post("/results", content=pieces(), headers={"content-length": length})
        took = time.perf_counter() - began
        if answer.status_code != httpx.codes.ACCEPTED:
            raise RuntimeError(answer.text)
        while not _readable(found, name):
            time.sleep(LOOK_SECONDS)
        return took, time.perf_counter() - began


def _readable(found: Platform, name: str) -> bool:
    cookies = {"access_token": found.client.cookies["access_token"]}
    query = {"job_id": name}
    answer = httpx.get(f"{found.running.url}/estimators", params=query, cookies=cookies)
    return answer.status_code == httpx.codes.OK


def _user(found: Platform) -> str:
    token = found.client.cookies["access_token"]
    return str(jwt.decode(token, options={"verify_signature": False})["sub"])


async def _submitted(found: Platform) -> tuple[str, int]:
    """Record the submission of a job to a cluster; return its id and number."""
    now = datetime.now(UTC)
    name = job_id(now, uuid4(), "BATCH")
    ref = await _inputs(found)
    submitted = JobSubmitted(
        job_id=name,
        owner=_user(found),
        title="bench",
        platform="BATCH",
        sim_type="shieldhit",
        engine="shieldhit",
        engine_version="1",
        input_kind="files",
        input_ref=ref,
        project_ref=None,
        primaries=1000,
        n_tasks=10,
        max_attempts=1,
        allow_partial=True,
    )
    subject = job_subject(name)
    meta = Meta("bench", "SubmitJob", "bench", "jobs")
    cause = commit_id("bench", name)
    commit = make_commit(cause, "job", name, 1, meta, (submitted,), now)
    async with connection(found.nats_url, name="bench") as nats:
        return name, (await JetStreamLog(nats).append(subject, 0, commit)).seq


async def _inputs(found: Platform) -> Ref:
    settings = BlobSettings(url=found.running.settings["KERMA_BLOB_URL"])
    return await open_blobs(settings).put(encode_inputs(InputSet("shieldhit", {}, 1000)))


@contextmanager
def _watched(pid: int) -> Iterator[Callable[[], float]]:
    """Provide a function that returns the most memory since its last call, in MiB."""
    seen = [0.0]
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_SECONDS):
            seen.append(_memory(pid))

    def peak() -> float:
        seen.append(_memory(pid))
        found = max(seen)
        seen.clear()
        return found

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()


def _memory(pid: int) -> float:
    """Return the memory of Kerma's own processes, in MiB."""
    parent = psutil.Process(pid)
    total = 0
    for process in (parent, *parent.children(recursive=True)):
        with suppress(psutil.Error):
            if process.name() not in _DATABASE:
                total += process.memory_full_info().pss
    return total / 2**20
