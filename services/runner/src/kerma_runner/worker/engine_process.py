"""Engine processes as the worker sees them: started, signalled and awaited through the guard."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerma_runner.worker import guard

_GUARD_STOP_SECONDS = 5


class GuardLost(Exception):  # noqa: N818 - a fact
    """The guard died: engines are dead with it, and the worker has to start anew."""


def is_guard_lost(error: Exception) -> bool:
    """Whether it is GuardLost, or a group of exceptions with one in it."""
    group = error if isinstance(error, ExceptionGroup) else ExceptionGroup("", [error])
    return group.subgroup(GuardLost) is not None


@dataclass(frozen=True, slots=True)
class Limits:
    """Resource limits of an engine process; None for no limit. Sizes in bytes."""

    address_space: int | None = None
    file_size: int | None = 8 << 30
    open_files: int = 1024

    def as_rlimits(self) -> dict[str, int]:
        """By the names of the ``resource`` module, without their prefix."""
        limits = {
            "AS": self.address_space,
            "FSIZE": self.file_size,
            "NOFILE": self.open_files,
            "CORE": 0,
        }
        return {name: value for name, value in limits.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Exit:
    """``code`` is the exit code of the engine, or minus the signal that ended it."""

    code: int
    cpu_seconds: float


@dataclass(slots=True)
class EngineProcess:
    """A running engine. ``pid`` is also the id of its group and session."""

    id: int
    pid: int
    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader
    _guard: Launcher
    _gone: asyncio.Future[Exit]

    async def wait(self) -> Exit:
        """The engine's end; by then no process of it is left. Raises GuardLost."""
        return await asyncio.shield(self._gone)

    def signal(self, signum: int) -> None:
        """Signal the engine's whole group."""
        self._guard.signal(self.id, signum)

    async def stop(self, grace_seconds: float) -> Exit:
        """SIGTERM, after the grace period SIGKILL, to the whole group; until nothing is left."""
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_seconds):
                return await self.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            return await self.wait()


@dataclass(slots=True)
class Launcher:
    """The worker's end of the socket to its guard."""

    _sock: socket.socket
    _process: subprocess.Popen[bytes]
    _next: int = 0
    _started: dict[int, asyncio.Future[int]] = field(default_factory=dict)
    _gone: dict[int, asyncio.Future[Exit]] = field(default_factory=dict)
    _lost: asyncio.Event = field(default_factory=asyncio.Event)

    async def spawn(
        self,
        argv: tuple[str, ...],
        *,
        cwd: Path,
        env: Mapping[str, str],
        limits: Limits,
        nice: int = 0,
    ) -> EngineProcess:
        """Start an engine. Raises OSError when it cannot be, GuardLost when the guard is dead."""
        if self._lost.is_set():
            raise GuardLost
        number, self._next = self._next, self._next + 1
        loop = asyncio.get_running_loop()
        started = self._started[number] = loop.create_future()
        gone = self._gone[number] = loop.create_future()
        message = {
            "op": "spawn",
            "id": number,
            "argv": list(argv),
            "cwd": str(cwd),
            "env": dict(env),
            "limits": limits.as_rlimits(),
            "nice": nice,
        }
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        try:
            socket.send_fds(self._sock, [json.dumps(message).encode()], [out_write, err_write])
        except OSError as error:
            os.close(out_read)
            os.close(err_read)
            self._started.pop(number)
            self._gone.pop(number)
            raise GuardLost if isinstance(error, BrokenPipeError) else error from None
        finally:
            os.close(out_write)
            os.close(err_write)
        stdout, stderr = await _reader(out_read), await _reader(err_read)
        pid = await started
        return EngineProcess(number, pid, stdout, stderr, self, gone)

    def signal(self, number: int, signum: int) -> None:
        """Signal the group of an engine; nothing when it is gone."""
        with suppress(OSError):
            self._sock.send(json.dumps({"op": "signal", "id": number, "signal": signum}).encode())

    async def fail_when_lost(self) -> None:
        """Raises GuardLost when the guard is dead."""
        await self._lost.wait()
        raise GuardLost

    def on_readable(self) -> None:
        """Take in what the guard says."""
        while True:
            try:
                body = self._sock.recv(guard.MAX_MESSAGE)
            except BlockingIOError:
                return
            except OSError:
                body = b""
            if not body:
                self._lose()
                return
            self._heard(json.loads(body))

    def _heard(self, message: dict[str, Any]) -> None:
        number = message["id"]
        match message["op"]:
            case "started":
                _resolve(self._started.pop(number), message["pid"])
            case "refused":
                self._gone.pop(number)
                _refuse(self._started.pop(number), OSError(message["reason"]))
            case "gone":
                _resolve(self._gone.pop(number), Exit(message["code"], message["cpu_seconds"]))

    def _lose(self) -> None:
        asyncio.get_running_loop().remove_reader(self._sock)
        self._lost.set()
        waiting: list[asyncio.Future[Any]] = [*self._started.values(), *self._gone.values()]
        for future in waiting:
            _refuse(future, GuardLost())


def _resolve(future: asyncio.Future[Any], result: object) -> None:
    if not future.done():
        future.set_result(result)


def _refuse(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        # whoever waits gets it; one that nobody waits for is no fault of its own
        future.exception()


async def _reader(fd: int) -> asyncio.StreamReader:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 16)
    pipe = os.fdopen(fd, "rb", 0)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader


@asynccontextmanager
async def launcher() -> AsyncIterator[Launcher]:
    """A guard for as long as the context lasts; at its end every engine is killed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            process = subprocess.Popen(  # noqa: ASYNC220 - a fork and exec, once
                [sys.executable, "-m", guard.__name__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        ours.setblocking(False)
        made = Launcher(ours, process)
        loop = asyncio.get_running_loop()
        loop.add_reader(ours, made.on_readable)
        try:
            yield made
        finally:
            loop.remove_reader(ours)
            ours.close()
            await asyncio.to_thread(_await_guard, process)


def _await_guard(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_GUARD_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
