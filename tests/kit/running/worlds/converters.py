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
_running: list[SharedForks] = []
"""Of converters of these tests, in the order in which they began."""


@asynccontextmanager
async def converting(
    limits: ConversionLimits | None = None, queue: QueueLimits | None = None
) -> AsyncIterator[ProcessConverter]:
    shared_forks = SharedForks()
    converter = ProcessConverter(shared_forks, {}, limits, queue)
    task = asyncio.create_task(converter.run())
    _running.append(shared_forks)
    try:
        yield converter
    finally:
        _running.remove(shared_forks)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def demo() -> bytes:
    return orjson.dumps(demo_project())


def demo_files() -> bytes:
    return orjson.dumps(dict(engine("geant4", {}).convert(demo_project()).files))


def forks() -> list[psutil.Process]:
    """Return the processes of conversions of the converter that began last."""
    nursery = the_nursery()
    return [
        process
        for process in below()
        if nursery is not None and process.info["ppid"] == nursery.pid
    ]


def the_nursery() -> psutil.Process | None:
    """Return the process that conversions of the converter that began last are forked from.

    Servers of other tests may run below this process too, each with a nursery: only this one works
    in the folder of that converter.
    """
    home = _running[-1]._folder()
    if not home.done():
        return None
    named = [process for process in below() if _is_nursery(process, str(home.result()))]
    pids = {process.pid for process in named}
    return next((process for process in named if process.info["ppid"] not in pids), None)


def _is_nursery(process: psutil.Process, home: str) -> bool:
    """Return whether this is a nursery in this folder, or a fork of one."""
    line = process.info["cmdline"] or []
    return line[:1] == [sys.executable] and MODULE in line and process.info["cwd"] == home


def below() -> list[psutil.Process]:
    """Return descendants of this process, without zombies."""
    mine = {process.pid for process in psutil.Process().children(recursive=True)}
    found = psutil.process_iter(["cmdline", "cwd", "ppid", "status"])
    return [
        process
        for process in found
        if process.pid in mine and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what other processes do; pytest's timeout bounds it."""
    while not holds():
        await asyncio.sleep(0.01)
