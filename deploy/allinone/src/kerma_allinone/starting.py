"""The first moments of ``kerma up``: servers start while the rest of the program is imported.

Both take about as long, so this module imports little.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import uvloop

from kerma_allinone.children.nats import nats_server
from kerma_allinone.children.postgres import postgres_server
from kerma_allinone.children.process import directory_lock, make_directory
from kerma_common.garbage import collect_less
from kerma_common.stopping import StopSignals

if TYPE_CHECKING:
    from kerma_allinone.children.nats import NatsChild
    from kerma_allinone.children.postgres import PostgresChild

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Servers:
    """Servers that are starting; None where the environment names another one."""

    nats: Awaitable[NatsChild] | None
    postgres: Awaitable[PostgresChild] | None


def run_up(data: Path, port: int, slots: int | None, substitute: str | None) -> None:
    """Run ``kerma up``: start everything and stay until SIGINT or SIGTERM.

    ``KERMA_NATS_URL`` and ``KERMA_PG_URL`` replace the servers they name. Raises what ``up.run``
    does, ChildError, and KeyboardInterrupt if a signal ends the start.
    """
    try:
        uvloop.run(_run(data.resolve(), port, slots, substitute))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _run(data: Path, port: int, slots: int | None, substitute: str | None) -> None:
    # never released: this process ends with the loop, and a signal until then is only answered
    signals = StopSignals("kerma", _say)
    signals.catch()
    signals.starting()
    # PostgreSQL's user must be able to pass through this folder; its secrets have mode 0600
    make_directory(data, 0o711)
    with directory_lock(data):
        async with AsyncExitStack() as stack:
            nats = postgres = None
            if "KERMA_NATS_URL" not in os.environ:
                nats = _begun(stack, nats_server(data / "nats"))
            if "KERMA_PG_URL" not in os.environ:
                postgres = _begun(stack, postgres_server(data / "postgres"))
            up = await asyncio.to_thread(_import_the_rest)
            await up.run(data, port, slots, substitute, Servers(nats, postgres), _say, signals)


def _import_the_rest() -> Any:
    # imports leave no garbage, and collecting takes a tenth of the time
    gc.disable()
    try:
        up = import_module("kerma_allinone.up")
        for part in up.SERVICES.values():
            part.load()
    finally:
        collect_less()
        gc.enable()
    return up


def _begun(stack: AsyncExitStack, server: AbstractAsyncContextManager[T]) -> asyncio.Task[T]:
    """Start a server now; it ends with the stack, even if nothing ever waits for it."""
    task = asyncio.create_task(stack.enter_async_context(server))

    async def end() -> None:
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task

    stack.push_async_callback(end)
    return task


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
