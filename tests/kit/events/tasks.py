"""Tasks of tests: wait until they rest, and end them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

SECONDS = 5.0
TIMES = 4


async def settled() -> None:
    """Wait for the clean-up of ended tasks: a cancelled one returns its connection later."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=SECONDS)


async def end(tasks: Collection[asyncio.Future[Any]]) -> list[BaseException]:
    """Cancel tasks until all have ended; raise their errors, cancellations excluded.

    Cancels repeatedly because libraries may swallow a cancellation; raises TimeoutError for a task
    that does not end.
    """
    pending = {task for task in tasks if not task.done()}
    for _ in range(TIMES):
        for task in pending:
            task.cancel()
        if pending:
            _, pending = await asyncio.wait(pending, timeout=SECONDS)
    if pending:
        raise TimeoutError(f"still running: {pending}")
    ended = [task.exception() for task in tasks if not task.cancelled()]
    return [fault for fault in ended if fault is not None]


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)
