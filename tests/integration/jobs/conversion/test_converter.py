"""Conversions as processes: fair, bounded, replaced, and isolated from the service."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest

from kerma_common.errors import InvalidRequest, Unavailable
from kerma_engines.adapter.packing import decode_inputs
from kerma_engines.catalogue.registry import engine
from kerma_jobs.adapters.conversion import converter as converters
from kerma_jobs.adapters.conversion.converter import SPARES
from kerma_jobs.adapters.conversion.limits import ConversionLimits, QueueLimits
from kerma_sandbox.confinement import Exit
from kerma_sandbox.forks import shared
from kerma_sandbox.launcher import Confined
from kit.inputs.projects import demo_project
from kit.running.worlds.converters import converting, demo, demo_files, forks, the_nursery, until

SECRET = "postgresql://user:secret@host"


def bad_macro(lines: int = 150_000) -> bytes:
    """A macro that takes seconds to read, because every line declares a scorer."""
    files = dict(engine("geant4", {}).convert(demo_project()).files)
    scorers = "".join(f"/score/quantity/doseDeposit d{k}\n" for k in range(lines))
    shape = "/score/mesh/boxSize 1 1 1 cm\n/score/mesh/nBin 1 1 1\n"
    mesh = f"/score/create/boxMesh m\n{shape}{scorers}/score/close\n"
    return orjson.dumps({**files, "run.mac": mesh + files["run.mac"]})


PROBE = """
import os, resource, socket, subprocess, sys
import orjson
from kerma_jobs.adapters.conversion import work
from kerma_sandbox.forks import program

answer = work.answer

def look(head, payload, available):
    told = orjson.loads(payload)
    if "secret" not in told:  # a rehearsal
        return answer(head, payload, available)
    found = {name: attempt(action, told) for name, action in ATTEMPTS.items()}
    return orjson.dumps({"engine": "probe", "primaries": 1, "bins": 0}), orjson.dumps(found)

def attempt(action, told):
    try:
        return action(told)
    except OSError as error:
        return f"refused: {error.strerror}"

def descriptors(told):
    found = []
    for number in range(1000):
        try:
            os.fstat(number)
            found.append(number)
        except OSError:
            pass
    return found

ATTEMPTS = {
    "environment": lambda told: dict(os.environ),
    "descriptors": descriptors,
    "read a secret": lambda told: open(told["secret"]).read(),
    "read the system": lambda told: open("/etc/passwd").read(),
    "read a process": lambda told: open(f"/proc/{told['pid']}/environ").read(),
    "read its nursery": lambda told: open(f"/proc/{os.getppid()}/environ").read(),
    "write": lambda told: open("/tmp/x", "w").write("x"),
    "write here": lambda told: open("x", "w").write("x"),
    "connect": lambda told: socket.create_connection(("127.0.0.1", told["port"])).close(),
    "fork": lambda told: os.fork(),
    "run": lambda told: subprocess.run(["true"]).returncode,
    "kill its nursery": lambda told: os.kill(os.getppid(), 0),
    "kill the service": lambda told: os.kill(told["pid"], 0),
    "core": lambda told: resource.getrlimit(resource.RLIMIT_CORE)[1],
    "file size": lambda told: resource.getrlimit(resource.RLIMIT_FSIZE)[1],
}
work.answer = look
program.main()
"""


@pytest.fixture
async def seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Return what code inside a conversion can see and do."""
    monkeypatch.setenv("KERMA_PG_URL", SECRET)
    monkeypatch.setattr(shared, "PROGRAM", (sys.executable, "-c", PROBE))
    secret = tmp_path / "master-key"
    secret.write_text(SECRET)
    with socket.create_server(("127.0.0.1", 0)) as server:
        known = {"secret": str(secret), "pid": os.getpid(), "port": server.getsockname()[1]}
        async with converting() as converter:
            found = await converter.from_project("geant4", orjson.dumps(known), user="a")
    told: dict[str, Any] = orjson.loads(found.inputs)
    return told


async def test_a_conversion_has_nothing_of_the_service(seen: dict[str, Any]) -> None:
    assert SECRET not in str(seen)
    assert seen["environment"].keys() <= {"OPENBLAS_NUM_THREADS", "LC_ALL", "PWD"}
    assert len(seen["descriptors"]) == 3  # stdout, stderr and the connection
    assert (seen["core"], seen["file size"]) == (0, 0)


@pytest.mark.parametrize(
    "attempt",
    [
        "read a secret",
        "read the system",
        "read a process",
        "read its nursery",
        "write",
        "write here",
        "connect",
        "fork",
        "run",
        "kill its nursery",
        "kill the service",
    ],
)
async def test_a_conversion_reaches_nothing(seen: dict[str, Any], attempt: str) -> None:
    assert str(seen[attempt]).startswith("refused: "), seen[attempt]


async def test_others_are_converted_while_slow_ones_run() -> None:
    queue = QueueLimits(fast=1, slow=2)
    macro = bad_macro(600_000)
    async with converting(ConversionLimits(cpu_seconds=60, wall_seconds=60), queue) as converter:
        slow = [
            asyncio.create_task(converter.from_files("geant4", macro, user=f"slow{k}"))
            for k in range(2)
        ]
        for _ in range(3):
            found = await converter.from_project("geant4", demo(), user="victim")
            assert decode_inputs(found.inputs).primaries == found.primaries
        assert not any(task.done() for task in slow)
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        await until(lambda: len(forks()) == SPARES)


async def test_conversions_leave_a_core_to_the_service_and_slow_ones_run_when_it_is_idle() -> None:
    queue = QueueLimits(fast=2, slow=1, fast_seconds=0.1)
    async with converting(ConversionLimits(cpu_seconds=60, wall_seconds=60), queue) as converter:
        slow = asyncio.create_task(converter.from_files("geant4", bad_macro(), user="slow"))
        await until(lambda: len(forks()) == SPARES + 1)
        idle = os.SCHED_IDLE
        await until(lambda: any(os.sched_getscheduler(fork.pid) == idle for fork in forks()))
        allowed = os.sched_getaffinity(0)
        for fork in forks():
            cores = os.sched_getaffinity(fork.pid)
            assert cores < allowed if len(allowed) > 1 else cores == allowed
            assert os.getpriority(os.PRIO_PROCESS, fork.pid) >= shared.NICE
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)


async def test_too_many_slow_ones_are_told_to_come_back() -> None:
    queue = QueueLimits(fast=2, slow=1, fast_seconds=0.2)
    async with converting(ConversionLimits(cpu_seconds=60, wall_seconds=60), queue) as converter:
        both = [
            asyncio.create_task(converter.from_files("geant4", bad_macro(), user=f"slow{k}"))
            for k in range(2)
        ]
        done, running = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        (refused,) = done
        assert isinstance(refused.exception(), Unavailable)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


@dataclass(frozen=True)
class Stop:
    """A limit that a bad macro exceeds, and the message to its user."""

    limits: ConversionLimits
    told: str
    lines: int = 150_000


STOPS = {
    "processor": Stop(ConversionLimits(cpu_seconds=1), "1 s of processor time", 600_000),
    "wall": Stop(ConversionLimits(wall_seconds=2.0), "within 2 s", 600_000),
    "memory": Stop(ConversionLimits(memory=112 << 20), "too large"),
    "answer": Stop(ConversionLimits(answer=1 << 20), "too large"),
}


@pytest.mark.parametrize("name", STOPS)
async def test_a_conversion_beyond_a_limit_is_refused_and_hurts_nobody(name: str) -> None:
    stop = STOPS[name]
    queue = QueueLimits(fast_seconds=0.1)
    async with converting(stop.limits, queue) as converter:
        with pytest.raises(InvalidRequest) as refused:
            await converter.from_files("geant4", bad_macro(stop.lines), user="a")
        assert stop.told in str(refused.value.fields)
        assert await converter.from_project("geant4", demo(), user="a")


async def test_a_converter_that_dies_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody gets one of its processes while its end is being reported."""
    wait = Confined.wait

    async def wait_longer(process: Confined) -> Exit:
        ended = await wait(process)
        await asyncio.sleep(1)
        return ended

    monkeypatch.setattr(Confined, "wait", wait_longer)
    monkeypatch.setattr(converters, "REPORT_SECONDS", 0.5)
    async with converting() as converter:
        await converter.from_project("geant4", demo(), user="a")
        nursery = the_nursery()
        assert nursery is not None
        running = asyncio.create_task(converter.from_files("geant4", bad_macro(), user="b"))
        await until(lambda: any(user_seconds(fork) > 0.2 for fork in nursery.children()))
        nursery.send_signal(signal.SIGKILL)
        with pytest.raises(Unavailable):
            await running
        assert await converter.from_project("geant4", demo(), user="a")
        assert the_nursery() != nursery


async def test_a_process_that_read_files_converts_once_and_is_replaced() -> None:
    async with converting() as converter:
        await until(lambda: len(forks()) == SPARES)
        first = set(forks())
        for _ in range(SPARES + 1):
            await converter.from_files("geant4", demo_files(), user="a")
        await until(lambda: len(forks()) == SPARES)
        second = set(forks())
        assert not first & second
        await converter.from_files("geant4", demo_files(), user="a")
        await until(lambda: len(forks()) == SPARES and set(forks()) != second)
        assert len(set(forks()) & second) == SPARES - 1


async def test_connections_of_spares_that_died_are_closed_at_the_end() -> None:
    async with converting() as converter:
        await until(lambda: len(converter._spares) == SPARES)
        spares = tuple(converter._spares)
        while len(found := forks()) != SPARES:  # a look at all processes may miss one
            await asyncio.sleep(0.01)
        for fork in found:
            fork.kill()
        await asyncio.gather(*(asyncio.shield(spare.ended) for spare in spares))
        assert not any(spare.writer.is_closing() for spare in spares)
    assert all(spare.writer.is_closing() for spare in spares)


async def test_nothing_is_left_when_the_service_ends() -> None:
    # other tests' servers are children of this process too
    before = set(psutil.Process().children(recursive=True))
    async with converting() as converter:
        await converter.from_project("geant4", demo(), user="a")
        await until(lambda: len(forks()) == SPARES)
        left = [p for p in psutil.Process().children(recursive=True) if p not in before]
        assert left
    _, alive = psutil.wait_procs(left, timeout=10)
    assert alive == []


async def test_problems_are_told_by_place_and_counted() -> None:
    files = dict(engine("geant4", {}).convert(demo_project()).files)
    files["run.mac"] = "/control/shell ls\n" * 500 + files["run.mac"]
    async with converting() as converter:
        with pytest.raises(InvalidRequest) as refused:
            await converter.from_files("geant4", orjson.dumps(files), user="a")
    fields: Mapping[str, Any] = refused.value.fields
    assert "input_files.run.mac:100" in fields
    assert "input_files.run.mac:101" not in fields
    assert fields["input_files"] == ["500 problems, of which the first 100 are shown."]


def user_seconds(process: psutil.Process) -> float:
    """Return the processor time of a process, 0 for one that has ended."""
    try:
        return process.cpu_times().user
    except psutil.NoSuchProcess:
        return 0.0
