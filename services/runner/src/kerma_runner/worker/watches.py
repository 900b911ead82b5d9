"""Watches on a running engine: each waits until a limit is exceeded and returns the failure."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from kerma_runner.worker.outcomes import Failed
from kerma_sandbox.files.usage import MAX_DEPTH, usage
from kerma_sandbox.kernel.tree import descendants

if TYPE_CHECKING:
    from kerma_runner.worker.settings import WorkerSettings

_STALL_CHECKS = 10
_BUSY_SHARE = 0.001
_LOOK_SECONDS = 1.0
_FIRST_SECONDS = 0.25
"""Time before the first measurement: it costs more than many an engine runs."""
_REST = 20.0
"""Pause between measurements, in multiples of how long the last one of the work folder took."""


async def wall_time(limit: float) -> Failed:
    """Wait until ``limit`` seconds have passed."""
    await asyncio.sleep(limit)
    return Failed(
        "WALL_TIME", f"the engine ran longer than {limit:g} s (KERMA_WORKER_WALL_SECONDS)"
    )


async def stall(cpu_seconds: Callable[[], float], limit: float) -> Failed:
    """Wait until ``cpu_seconds`` has not changed for ``limit`` seconds."""
    used, since = 0.0, time.monotonic()
    while time.monotonic() - since < limit:
        await asyncio.sleep(limit / _STALL_CHECKS)
        seen = cpu_seconds()
        if abs(seen - used) > _BUSY_SHARE * limit:
            used, since = seen, time.monotonic()
    reason = f"the engine used no processor for {limit:g} s (KERMA_WORKER_STALL_SECONDS)"
    return Failed("STALLED", reason)


async def room(pid: int, directory: Path, settings: WorkerSettings) -> Failed:
    """Wait until the work folder of a process is too large."""
    await asyncio.sleep(_FIRST_SECONDS)
    while True:
        begun = time.monotonic()
        failed = await asyncio.to_thread(exceeded, directory, settings, pid)
        if failed is not None:
            return failed
        await asyncio.sleep(max(_LOOK_SECONDS, _REST * (time.monotonic() - begun)))


def exceeded(directory: Path, settings: WorkerSettings, pid: int | None = None) -> Failed | None:
    """Return the limit that a work folder exceeds, or None.

    Deleted files that ``pid`` and everything it has started hold count too.
    """
    found = usage(directory, settings.task_files, () if pid is None else _family(pid))
    if found.size > settings.task_bytes:
        return _too_much(f"{settings.task_bytes} bytes", "TASK_BYTES")
    if found.entries > settings.task_files:
        return _too_much(f"{settings.task_files} files", "TASK_FILES")
    if found.deep:
        return Failed("FOLDER_LIMIT", f"the work folder has more than {MAX_DEPTH} levels")
    return None


def _too_much(amount: str, setting: str) -> Failed:
    reason = f"the work folder holds more than {amount}, the limit KERMA_WORKER_{setting}"
    return Failed("FOLDER_LIMIT", reason)


def _family(pid: int) -> list[int]:
    """Return all processes of the sandbox that ``pid`` is the first of.

    Its parent, the keeper, adopts those that leave it.
    """
    try:
        keeper = psutil.Process(pid).ppid()
    except psutil.Error:
        return []
    return descendants(keeper)
