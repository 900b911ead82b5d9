"""`serve` in its own process: signals, failing workers, taken ports, large bodies, overhead."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from kerma_common.service import Service, ServiceError, serve

PROGRAM = """
import asyncio, logging, sys, threading
import psycopg
import uvloop
from fastapi import APIRouter
from kerma_common.http.answers import answer
from kerma_common.http.app import create_app
from kerma_common.http.policy import public
from kerma_common.http.route import KermaRoute
from kerma_common.service import Service, ServiceError, serve
from kerma_common.settings import HttpSettings
from kerma_common.stopping import StopSignals
from sqlalchemy.exc import ProgrammingError

async def verify(token): raise AssertionError
async def health(): return {}
router = APIRouter(route_class=KermaRoute)

@router.get("/slow")
@public()
async def slow():
    print("slow", flush=True)
    await asyncio.sleep(1)
    return answer("done")

@router.post("/jobs")
@public()
async def jobs(body: dict):
    return answer("ok")

async def forever():
    try:
        await asyncio.Event().wait()
    finally:
        print("worker cancelled", flush=True)

async def stubborn():
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            print("ignored", flush=True)

async def tableless():
    error = psycopg.errors.UndefinedTable('relation "jobs.job" does not exist')
    raise ProgrammingError("SELECT 1", {}, error)

async def broken():
    await asyncio.sleep(0.2)
    raise ValueError("worker bug")

async def grouped():
    async with asyncio.TaskGroup() as group:
        group.create_task(broken())

async def returning():
    await asyncio.sleep(0.2)

async def vanishing():
    await asyncio.sleep(0.2)
    raise asyncio.CancelledError

app = create_app("t", verifier=verify, health=health, settings=HttpSettings(), routers=[router])
worker = {f.__name__: f for f in (forever, stubborn, broken, grouped, returning, vanishing, tableless)}[sys.argv[1]]
others = tuple((f.__name__, f) for f in (stubborn,) if f.__name__ in sys.argv[2:])
service = Service("t", app, (*others, ("w", worker)), health)
say = lambda line: print(line, flush=True)

async def main():
    signals = StopSignals("t", say)
    signals.catch()
    try:
        await serve(service, "127.0.0.1", 0, started=say, signals=signals, forced=lambda: say("forced"))
    finally:
        if "muted" in sys.argv:  # the thread that logs waits for this one
            log = logging.StreamHandler()
            log.acquire()
            logging.getLogger().addHandler(log)
        if "garbled" in sys.argv:
            asyncio.all_tasks = None
        if "lingering" in sys.argv:
            await asyncio.Event().wait()
        if "blocked" in sys.argv:
            threading.Thread(target=threading.Event().wait).start()

try:
    uvloop.run(main())
except ServiceError as error:
    print(error, flush=True)
    sys.exit(3)
"""


@asynccontextmanager
async def _running(*workers: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        *workers,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        port = int(await process.stdout.readline())
        yield process, f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_requests_then_cancels_workers(number: signal.Signals) -> None:
    async with _running("forever") as (process, url), httpx.AsyncClient() as client:
        assert process.stdout is not None
        async with asyncio.TaskGroup() as group:
            pending = group.create_task(client.get(f"{url}/slow"))
            assert await process.stdout.readline() == b"slow\n"
            process.send_signal(number)
        assert pending.result().json() == {"message": "done"}
        assert await process.wait() == 0
        assert await process.stdout.read() == b"worker cancelled\n"


@pytest.mark.parametrize(
    ("worker", "reason"),
    [
        ("broken", b"background task w failed: ValueError: worker bug\n"),
        ("grouped", b"background task w failed: ValueError: worker bug\n"),
        ("returning", b"background task w ended\n"),
        ("vanishing", b"background task w ended\n"),
    ],
)
async def test_a_worker_that_ends_ends_the_process(worker: str, reason: bytes) -> None:
    async with _running(worker) as (process, _url):
        out, _ = await process.communicate()
        assert (process.returncode, out) == (3, reason)


ENDED = b"t: ended without waiting for %s; nothing stored is lost, start again\nforced\n"
FORCED = ENDED % b"t:%s"
LAST = ENDED % b"its clean-up"


async def test_a_worker_that_ignores_its_end_cannot_keep_the_process() -> None:
    async with _running("stubborn") as (process, _url), asyncio.timeout(60):
        process.send_signal(signal.SIGTERM)
        out, _ = await process.communicate()
        assert (process.returncode, out) == (1, b"ignored\n" + FORCED % b"w")


async def test_a_worker_that_ignores_its_end_cannot_keep_a_process_that_lost_another() -> None:
    async with _running("broken", "stubborn") as (process, _url), asyncio.timeout(60):
        out, _ = await process.communicate()
        assert (process.returncode, out) == (1, b"ignored\n" + FORCED % b"stubborn")


@pytest.mark.parametrize("rest", ["lingering", "blocked"])
@pytest.mark.parametrize("worker", ["forever", "broken"])
async def test_what_is_done_last_cannot_keep_the_process(worker: str, rest: str) -> None:
    async with _running(worker, rest) as (process, _url), asyncio.timeout(60):
        if worker == "forever":
            process.send_signal(signal.SIGTERM)
        out, _ = await process.communicate()
        assert (process.returncode, out.endswith(LAST)) == (1, True), out


@pytest.mark.parametrize("log", ["muted", "garbled"])
async def test_a_log_that_waits_or_fails_cannot_keep_the_process(log: str) -> None:
    async with _running("forever", "lingering", log) as (process, _url), asyncio.timeout(60):
        process.send_signal(signal.SIGTERM)
        out, _ = await process.communicate()
        assert (process.returncode, out.endswith(LAST)) == (1, True), out


async def test_a_further_signal_is_answered() -> None:
    async with _running("stubborn") as (process, _url), asyncio.timeout(60):
        assert process.stdout is not None
        process.send_signal(signal.SIGINT)
        assert await process.stdout.readline() == b"ignored\n"
        process.send_signal(signal.SIGINT)
        said = await process.stdout.readline()
        assert said == b"t: already stopping, which takes 10 seconds at most\n"
        assert await process.stdout.read() == FORCED % b"w"


async def test_a_dropped_table_ends_the_process_with_what_to_do() -> None:
    async with _running("tableless") as (process, _url):
        out, _ = await process.communicate()
        assert process.returncode == 3
        assert out.startswith(
            b"background task w failed: UndefinedTable. Start again: read models are rebuilt"
        )


async def test_a_taken_port_is_told() -> None:
    async def nothing() -> dict[str, str]:
        return {}

    async def asgi(*_: object) -> None:
        raise AssertionError

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServiceError, match=f"127.0.0.1:{port}: Address already in use"):
            await serve(Service("t", asgi, (), nothing), "127.0.0.1", port)


async def test_requests_that_outlast_the_drain_end_before_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kerma_common.service.DRAIN_SECONDS", 1)
    ended: list[str] = []
    clients: list[asyncio.Task[None]] = []

    async def asgi(_scope: object, _receive: object, _send: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.1)  # such as returning a connection
            ended.append("request")

    async def ask(port: int) -> None:
        async with httpx.AsyncClient(timeout=60) as client:
            await client.get(f"http://127.0.0.1:{port}/")

    async def forever() -> None:
        await asyncio.Event().wait()

    async def healthy() -> dict[str, str]:
        return {}

    service = Service("t", asgi, (("w", forever),), healthy)
    await serve(
        service,
        "127.0.0.1",
        0,
        started=lambda port: clients.append(asyncio.create_task(ask(port))),
    )
    assert ended == ["request"]
    await asyncio.gather(*clients, return_exceptions=True)


@pytest.mark.parametrize("announced", [True, False])
async def test_fifty_megabytes_are_refused_with_an_answer(announced: bool) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield bytes(2**20)

    async with _running("forever") as (_process, url), httpx.AsyncClient() as client:
        content = bytes(50 * 2**20) if announced else chunks()
        reply = await client.post(f"{url}/jobs", content=content)
        assert reply.status_code == 413
        # the first limit that it meets: that of all routes before a byte is read, then the route's
        most = 16 * 2**20 if announced else 64 * 2**10
        assert reply.json()["message"] == f"The body is larger than {most} bytes"
        assert (await client.post(f"{url}/jobs", content=b'{"a":1}')).status_code == 200
