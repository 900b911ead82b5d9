"""Conversions as processes: fair, bounded, replaced, and without anything of the service."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import psutil
import pytest

from kerma_common.errors import InvalidRequest, Unavailable
from kerma_engines.adapter.packing import decode_inputs
from kerma_engines.catalogue.registry import engine
from kerma_jobs.adapters.conversion import processes
from kerma_jobs.adapters.conversion.converter import SPARES, ProcessConverter
from kerma_jobs.adapters.conversion.limits import ConversionLimits, QueueLimits
from kit.projects import demo_project

SECRET = "postgresql://user:secret@host"


@asynccontextmanager
async def converting(
    limits: ConversionLimits | None = None, queue: QueueLimits | None = None
) -> AsyncIterator[ProcessConverter]:
    converter = ProcessConverter({}, limits, queue)
    task = asyncio.create_task(converter.run())
    try:
        yield converter
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def bad_macro(lines: int = 150_000) -> dict[str, str]:
    """A macro that takes seconds to read, since a scorer is declared by every line."""
    files = dict(engine("geant4", {}).convert(demo_project()).files)
    scorers = "".join(f"/score/quantity/doseDeposit d{k}\n" for k in range(lines))
    mesh = f"/score/create/boxMesh m\n/score/mesh/boxSize 1 1 1 cm\n{scorers}/score/close\n"
    return {**files, "run.mac": mesh + files["run.mac"]}


def forks() -> list[psutil.Process]:
    """Processes of conversions."""
    (nursery,) = psutil.Process().children()
    return nursery.children()


PROBE = """
import os, resource, sys
import orjson
from kerma_jobs.adapters.conversion import nursery, work

def look(request, available):
    told = {
        "environment": dict(os.environ),
        "descriptors": {n: os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
                        if os.path.exists(f"/proc/self/fd/{n}")},
        "no_new_privileges": "NoNewPrivs:\\t1" in open("/proc/self/status").read(),
        "core": resource.getrlimit(resource.RLIMIT_CORE)[1],
        "file size": resource.getrlimit(resource.RLIMIT_FSIZE)[1],
    }
    return orjson.dumps({"engine": "probe", "primaries": 1}) + b"\\n" + orjson.dumps(told)

nursery.work.answer = look
nursery.main()
"""


@pytest.fixture
async def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What code that runs in a conversion sees."""
    monkeypatch.setenv("KERMA_PG_URL", SECRET)
    monkeypatch.setattr(processes, "NURSERY", (sys.executable, "-c", PROBE))
    async with converting() as converter:
        found = await converter.from_project("geant4", {}, user="a")
    told: dict[str, Any] = orjson.loads(found.inputs)
    return told


async def test_a_conversion_has_nothing_of_the_service(seen: dict[str, Any]) -> None:
    assert SECRET not in str(seen)
    assert set(seen["environment"]) == {"OPENBLAS_NUM_THREADS", "LC_ALL"}
    kinds = [link.partition(":")[0] for link in seen["descriptors"].values()]
    assert kinds.count("socket") == 1
    assert len(kinds) == 3  # stdout and stderr beside it
    assert seen["no_new_privileges"]
    assert (seen["core"], seen["file size"]) == (0, 0)


async def test_others_are_converted_while_slow_ones_run() -> None:
    queue = QueueLimits(fast=1, slow=2, fast_seconds=0.2)
    async with converting(ConversionLimits(cpu_seconds=60, wall_seconds=60), queue) as converter:
        slow = [
            asyncio.create_task(converter.from_files("geant4", bad_macro(), user=f"slow{k}"))
            for k in range(2)
        ]
        for _ in range(3):
            found = await converter.from_project("geant4", demo_project(), user="victim")
            assert decode_inputs(found.inputs).primaries == found.primaries
        assert not any(task.done() for task in slow)
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        await until(lambda: len(forks()) == SPARES)


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
    """A limit that a bad macro exceeds, and what its user is told."""

    limits: ConversionLimits
    told: str
    lines: int = 150_000


STOPS = {
    "processor": Stop(ConversionLimits(cpu_seconds=1), "1 s of processor time", 600_000),
    "wall": Stop(ConversionLimits(wall_seconds=0.2), "within 0.2 s", 600_000),
    "memory": Stop(ConversionLimits(memory=48 << 20), "too large"),
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
        assert await converter.from_project("geant4", demo_project(), user="a")


async def test_a_converter_that_dies_is_started_again() -> None:
    async with converting() as converter:
        await converter.from_project("geant4", demo_project(), user="a")
        (nursery,) = psutil.Process().children()
        running = asyncio.create_task(converter.from_files("geant4", bad_macro(), user="b"))
        await until(lambda: any(fork.cpu_times().user > 0.2 for fork in nursery.children()))
        nursery.send_signal(signal.SIGKILL)
        with pytest.raises(Unavailable):
            await running
        assert await converter.from_project("geant4", demo_project(), user="a")
        assert psutil.Process().children() != [nursery]


async def test_nothing_is_left_when_the_service_ends() -> None:
    async with converting() as converter:
        await converter.from_project("geant4", demo_project(), user="a")
        await until(lambda: len(forks()) == SPARES)
        left = psutil.Process().children(recursive=True)
    _, alive = psutil.wait_procs(left, timeout=10)
    assert alive == []


async def test_problems_are_told_by_place_and_counted() -> None:
    files = dict(engine("geant4", {}).convert(demo_project()).files)
    files["run.mac"] = "/control/shell ls\n" * 500 + files["run.mac"]
    async with converting() as converter:
        with pytest.raises(InvalidRequest) as refused:
            await converter.from_files("geant4", files, user="a")
    fields: Mapping[str, Any] = refused.value.fields
    assert "input_files.run.mac:100" in fields
    assert "input_files.run.mac:101" not in fields
    assert fields["input_files"] == ["500 problems, of which the first 100 are told."]


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what other processes do; pytest bounds it."""
    while not holds():
        await asyncio.sleep(0.01)
