"""Confined processes in asyncio: started, signalled and awaited through the guard."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from kerma_sandbox import guard
from kerma_sandbox.confinement import Confinement, Exit
from kerma_sandbox.sandbox import Sandbox
from kerma_sandbox.start import start_guard

_GUARD_STOP_SECONDS = 5
_DRAIN_SECONDS = 2.0
_STREAM_LIMIT = 1 << 16


class GuardLost(Exception):  # noqa: N818 - a fact
    """The guard died: all confined processes died with it, and nothing can be started."""


def is_guard_lost(error: Exception) -> bool:
    """Return whether it is GuardLost, or an exception group that contains one."""
    group = error if isinstance(error, ExceptionGroup) else ExceptionGroup("", [error])
    return group.subgroup(GuardLost) is not None


@dataclass(slots=True)
class Confined:
    """A running process. ``pid`` is also the id of its session.

    ``cpu_seconds`` and ``memory`` (bytes) cover all its processes, updated about every second.
    """

    id: int
    pid: int
    stdin: asyncio.StreamWriter | None
    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader
    _guard: Launcher
    _gone: asyncio.Future[Exit]
    cpu_seconds: float = 0.0
    memory: int = 0

    async def wait(self) -> Exit:
        """Wait until the process has ended and nothing of it is left. Raises GuardLost."""
        return await asyncio.shield(self._gone)

    def signal(self, signum: int) -> None:
        """Signal the process and everything it has started."""
        self._guard.signal(self.id, signum)

    async def stop(self, grace_seconds: float) -> Exit:
        """Send SIGTERM, after the grace period SIGKILL, and wait until nothing is left."""
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_seconds):
                return await self.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            return await self.wait()


@dataclass(slots=True)
class Launcher:
    """The user's end of the socket to its guard."""

    sandbox: Sandbox
    _sock: socket.socket
    _next: int = 0
    _started: dict[int, asyncio.Future[int]] = field(default_factory=dict)
    _gone: dict[int, asyncio.Future[Exit]] = field(default_factory=dict)
    _running: dict[int, Confined] = field(default_factory=dict)
    _pipes: dict[int, list[asyncio.ReadTransport]] = field(default_factory=dict)
    _lost: asyncio.Event = field(default_factory=asyncio.Event)

    async def spawn(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        confinement: Confinement,
        stdin: bool = False,
        stdin_from: int | None = None,
        stream_limit: int = _STREAM_LIMIT,
    ) -> Confined:
        """Start a process with exactly ``env`` as its environment.

        Its input is empty unless ``stdin`` requests a pipe or ``stdin_from`` is a descriptor, which
        may be a socket; the caller closes its own.

        Raises OSError when it can't be started, GuardLost when the guard is dead.
        """
        if self._lost.is_set():
            raise GuardLost
        number, self._next = self._next, self._next + 1
        order = self.sandbox.order(argv, env, confinement)
        message = json.dumps({"op": "spawn", "id": number, **order}).encode()
        if len(message) > guard.MAX_MESSAGE:
            raise OSError("the command and its environment are too long")
        loop = asyncio.get_running_loop()
        started = self._started[number] = loop.create_future()
        gone = self._gone[number] = loop.create_future()
        inlet, ins = _input(stdin_from, pipe=stdin)
        out, outs = os.pipe()
        err, errs = os.pipe()
        try:
            socket.send_fds(self._sock, [message], [inlet, outs, errs])
        except OSError as error:
            for fd in (out, err, *(() if ins is None else (ins,))):
                os.close(fd)
            del self._started[number], self._gone[number]
            raise GuardLost if isinstance(error, BrokenPipeError) else error from None
        finally:
            for fd in (inlet, outs, errs):
                os.close(fd)
        writer = None if ins is None else await _writer(ins)
        stdout, out_pipe = await _reader(out, stream_limit)
        stderr, err_pipe = await _reader(err, stream_limit)
        self._pipes[number] = [out_pipe, err_pipe]
        pid = await started
        process = Confined(number, pid, writer, stdout, stderr, self, gone)
        if not gone.done():
            self._running[number] = process
        return process

    def signal(self, number: int, signum: int) -> None:
        """Signal a process and everything below it; do nothing when it is gone."""
        with suppress(OSError):
            self._sock.send(json.dumps({"op": "signal", "id": number, "signal": signum}).encode())

    async def fail_when_lost(self) -> None:
        """Raise GuardLost when the guard is dead."""
        await self._lost.wait()
        raise GuardLost

    def on_readable(self) -> None:
        """Process the guard's messages."""
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
            case "usage":
                if (process := self._running.get(number)) is not None:
                    process.cpu_seconds = message["cpu_seconds"]
                    process.memory = message["memory"]
            case "refused":
                self._gone.pop(number)
                _refuse(self._started.pop(number), OSError(message["reason"]))
            case "gone":
                self._ended(number, message)

    def _ended(self, number: int, message: dict[str, Any]) -> None:
        if (started := self._started.pop(number, None)) is not None:
            _refuse(started, OSError("its keeper was killed"))
        self._running.pop(number, None)
        _resolve(self._gone.pop(number), Exit.from_message(message))
        # a process that could not be killed may hold the other end forever
        asyncio.get_running_loop().call_later(_DRAIN_SECONDS, self._close_pipes, number)

    def _close_pipes(self, number: int) -> None:
        for pipe in self._pipes.pop(number, []):
            pipe.close()

    def _lose(self) -> None:
        asyncio.get_running_loop().remove_reader(self._sock)
        self._lost.set()
        waiting: list[asyncio.Future[Any]] = [*self._started.values(), *self._gone.values()]
        for future in waiting:
            _refuse(future, GuardLost())


def _input(given: int | None, *, pipe: bool) -> tuple[int, int | None]:
    """Return the descriptor of a process's input, and the end of the pipe to it."""
    if given is not None:
        return os.dup(given), None
    return os.pipe() if pipe else (os.open(os.devnull, os.O_RDONLY), None)


def _resolve(future: asyncio.Future[Any], result: object) -> None:
    if not future.done():
        future.set_result(result)


def _refuse(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        # retrieve the exception, so that asyncio does not warn when nobody waits
        future.exception()


async def _reader(fd: int, limit: int) -> tuple[asyncio.StreamReader, asyncio.ReadTransport]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=limit)
    pipe = os.fdopen(fd, "rb", 0)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader, transport


async def _writer(fd: int) -> asyncio.StreamWriter:
    loop = asyncio.get_running_loop()
    pipe = os.fdopen(fd, "wb", 0)
    protocol = asyncio.StreamReaderProtocol(asyncio.StreamReader())
    transport, _ = await loop.connect_write_pipe(lambda: protocol, pipe)
    return asyncio.StreamWriter(transport, protocol, None, loop)


@asynccontextmanager
async def launcher(sandbox: Sandbox) -> AsyncIterator[Launcher]:
    """Run a guard while the context lasts; every process is killed at its end."""
    ours, process = start_guard()
    with ours:
        ours.setblocking(False)
        made = Launcher(sandbox, ours)
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
