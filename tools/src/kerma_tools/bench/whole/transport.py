"""The overhead of Kerma over the bare engine, and how soon users see progress and results."""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kerma_client.demo import PROJECT
from kerma_client.estimators import results_body
from kerma_client.submission import submit_body
from kerma_common.contracts.progress import ALL_PROGRESS, TaskProgress
from kerma_common.contracts.registry import adapter
from kerma_common.nats import connection
from kerma_engines.catalogue.registry import engine
from kerma_tools.bench.figure import Figure
from kerma_tools.bench.platform import Platform, platform, quantile
from kerma_tools.bench.run import limit

PRIMARIES, TASKS, CORES = 30_000, 8, 2
LIVE_PRIMARIES = 20_000
RESULT_BYTES = 2_000_000
POLL_SECONDS = 0.005
WATCH_SECONDS = 0.4  # the command line's poll interval


def transport_throughput() -> Figure:
    """Compare primaries per second of a job of eight tasks with two processes started by hand."""
    with platform(slots=CORES) as found:
        body = submit_body(PROJECT, tasks=TASKS, primaries=PRIMARIES, engine="geant4")
        began = time.perf_counter()
        job = found.client.submit(body)
        while not (status := found.client.status(job)).over:
            time.sleep(WATCH_SECONDS)
        ours = PRIMARIES / (time.perf_counter() - began)
        assert status.state == "COMPLETED", status.message
    return Figure(
        name=f"Geant4 primaries through Kerma, {TASKS} tasks on {CORES} slots",
        value=ours,
        unit="primaries/s",
        peer=f"the same input by hand, {CORES} processes",
        peer_value=_by_hand(),
        bar=0.90,
    )


def _by_hand() -> float:
    geant4 = engine("geant4")
    inputs = geant4.convert(json.loads(PROJECT.read_text()))
    with tempfile.TemporaryDirectory() as folder:
        commands = []
        for number in range(CORES):
            directory = Path(folder) / str(number)
            directory.mkdir()
            share = PRIMARIES // CORES
            command = geant4.prepare(inputs, directory, primaries=share, seed=number + 1)
            commands.append((directory, command))
        began = time.perf_counter()
        children = [
            subprocess.Popen(
                command.argv, cwd=directory, env=dict(command.env), stdout=subprocess.DEVNULL
            )
            for directory, command in commands
        ]
        for child in children:
            assert child.wait() == 0
        return PRIMARIES / (time.perf_counter() - began)


def progress_and_completion() -> Iterable[Figure]:
    """Measure the delay of progress, and the time from the last task's end to the results."""
    with platform(slots=CORES) as found:
        lags = asyncio.run(_progress_lags(found))
        yield limit(
            f"engine progress line to visible in GET, p99 of {len(lags)}",
            1e3 * quantile(lags, 0.99),
            "ms",
            500.0,
            "limit (the peer: 2600)",
        )
        seconds, size = _completion(found)
        yield limit(
            f"last task end to COMPLETED with {size / 1e6:.1f} MB of pages",
            seconds,
            "s",
            1.0,
            "limit (the peer: 3.2)",
        )


async def _progress_lags(found: Platform) -> list[float]:
    """Return seconds from a line's arrival at the worker to the first answer that shows it."""
    read_at: dict[int, float] = {}
    shown_at: dict[int, float] = {}
    codec = adapter(TaskProgress)
    async with connection(found.nats_url, name="bench") as nats:

        async def note(message: Any) -> None:
            report = codec.validate_json(message.data)
            read_at.setdefault(report.primaries, report.at.timestamp())

        await nats.subscribe(ALL_PROGRESS, cb=note)
        body = submit_body(PROJECT, tasks=1, primaries=LIVE_PRIMARIES, engine="geant4")
        job = await asyncio.to_thread(found.client.submit, body)
        while not (status := await asyncio.to_thread(found.client.status, job)).over:
            shown_at.setdefault(status.simulated, time.time())
            await asyncio.sleep(POLL_SECONDS)
    return [at - read_at[n] for n, at in shown_at.items() if n in read_at and n > 0]


def _completion(found: Platform) -> tuple[float, int]:
    body = submit_body(PROJECT, tasks=TASKS, primaries=TASKS * 50, engine="geant4")
    for detector in body["project"]["detectorManager"]["detectors"]:
        sizes = detector["geometryData"]["parameters"]
        if "ySegments" in sizes:
            sizes.update(ySegments=300, zSegments=500)
    job = found.client.submit(body)
    ended = 0.0
    while True:
        status = found.client.status(job)
        if not ended and all(task.state == "COMPLETED" for task in status.tasks):
            ended = time.perf_counter()
        if status.over:
            break
        time.sleep(POLL_SECONDS)
    took = time.perf_counter() - ended
    assert status.state == "COMPLETED", status.message
    size = len(json.dumps(results_body(found.client.results(job))))
    assert size >= RESULT_BYTES, f"only {size} bytes of results"
    return took, size
