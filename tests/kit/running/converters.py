"""A converter of the jobs service, and the processes that it runs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import orjson
import psutil

from kerma_engines.catalogue.registry import engine
from kerma_jobs.adapters.conversion.converter import ProcessConverter
from kerma_jobs.adapters.conversion.limits import ConversionLimits, QueueLimits
from kerma_sandbox.forks import shared
from kerma_sandbox.forks.shared import SharedForks
from kit.inputs.projects import demo_project

MODULE = shared.PROGRAM[-1]


@asynccontextmanager
async def converting(
    limits: ConversionLimits | None = None, queue: QueueLimits | None = None
) -> AsyncIterator[ProcessConverter]:
    converter = ProcessConverter(SharedForks(), {}, limits, queue)
    task = asyncio.create_task(converter.run())
    try:
        yield converter
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def demo() -> bytes:
    return orjson.dumps(demo_project())


def demo_files() -> bytes:
    return orjson.dumps(dict(engine("geant4", {}).convert(demo_project()).files))


def forks() -> list[psutil.Process]:
    """Return the processes of conversions."""
    nursery = the_nursery()
    return [
        process
        for process in below()
        if nursery is not None and process.info["ppid"] == nursery.pid
    ]


def the_nursery() -> psutil.Process | None:
    """Return the process that conversions are forked from: the first of those that match."""
    lines = [(process, process.info["cmdline"] or []) for process in below()]
    named = [process for process, line in lines if line[:1] == [sys.executable] and MODULE in line]
    pids = {process.pid for process in named}
    return next((process for process in named if process.info["ppid"] not in pids), None)


def below() -> list[psutil.Process]:
    """Return descendants of this process, without zombies."""
    mine = {process.pid for process in psutil.Process().children(recursive=True)}
    found = psutil.process_iter(["cmdline", "ppid", "status"])
    return [
        process
        for process in found
        if process.pid in mine and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what other processes do; pytest's timeout bounds it."""
    while not holds():
        await asyncio.sleep(0.01)
