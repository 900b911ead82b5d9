"""Reads results in a child process to check that they are complete.

Readers hold what they read in memory, and the files are untrusted. A child can be limited in memory
and time and can be killed; the worker receives only names and numbers of primaries. Children are
forked from a server that has imported the readers, which takes milliseconds.
"""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import resource
import signal
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import TYPE_CHECKING

from kerma_engines.errors import EngineError

if TYPE_CHECKING:
    from kerma_engines.adapter.port import Engine, InputSet

_PR_SET_PDEATHSIG = 1
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__, "kerma_engines.catalogue.catalogue"])


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of a child: bytes of address space, seconds."""

    memory: int
    seconds: float


class Unreadable(Exception):  # noqa: N818 - a verdict on the results
    """The results cannot be read; the message is for the user."""


class ReaderFault(Exception):  # noqa: N818 - what nobody foresaw, in another process
    """The reader failed in a way that says nothing about the results."""


def start_server() -> None:
    """Start the fork server, so that the first child does not wait for it."""
    from multiprocessing import forkserver

    forkserver.ensure_running()


async def primaries_of(
    engine: Engine, folder: Path, inputs: InputSet, bounds: Bounds
) -> list[tuple[str, int]]:
    """Return the name and primaries of every estimator in ``folder``.

    Raises Unreadable, ReaderFault.
    """
    process, results = await asyncio.to_thread(_start, engine, folder, inputs, bounds.memory)
    try:
        async with asyncio.timeout(bounds.seconds):
            await _readable(results.fileno())
        verdict, found = await asyncio.to_thread(results.recv)
    except TimeoutError:
        reason = f"reading them took longer than {bounds.seconds:g} s (KERMA_WORKER_READ_SECONDS)"
        raise Unreadable(reason) from None
    except EOFError:
        raise ReaderFault("the reading process was killed") from None
    finally:
        process.kill()
        await asyncio.to_thread(process.join)
        process.close()
        results.close()
    if verdict == "unreadable":
        raise Unreadable(found)
    if verdict == "fault":
        raise ReaderFault(found)
    return list(found)


def _start(
    engine: Engine, folder: Path, inputs: InputSet, memory: int
) -> tuple[ForkServerProcess, Connection]:
    results, there = _context.Pipe(duplex=False)
    arguments = (there, engine, folder, inputs, memory)
    process = _context.Process(target=_read, args=arguments, daemon=True)
    process.start()
    there.close()
    return process, results


async def _readable(handle: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(handle, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(handle)


def _read(there: Connection, engine: Engine, folder: Path, inputs: InputSet, memory: int) -> None:
    """Runs in the child."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    answer: tuple[str, object]
    try:
        estimators = engine.read(folder, inputs)
        answer = ("read", [(found.name, found.primaries) for found in estimators])
    except (EngineError, OSError, ValueError) as error:
        answer = ("unreadable", str(error))
    except MemoryError:
        answer = (
            "unreadable",
            f"reading needs more than {memory} bytes (KERMA_WORKER_READ_MEMORY)",
        )
    except Exception as error:
        answer = ("fault", f"{type(error).__name__}: {error}")
    with suppress(BrokenPipeError):
        there.send(answer)
