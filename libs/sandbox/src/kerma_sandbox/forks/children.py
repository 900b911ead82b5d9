"""The user's side of a nursery: forks as children that can be asked, lowered and killed."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from asyncio import StreamReader, StreamWriter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import NoReturn

from kerma_sandbox.confinement import Confinement
from kerma_sandbox.forks.nursery import LENGTHS, Message
from kerma_sandbox.launcher import Confined, GuardLost, Launcher, launcher
from kerma_sandbox.sandbox import Sandbox

_REPORT_SIZE = 64
_LONGEST_LINE = 500
_CHUNK = 1 << 20
_MOST_HEAD = 1 << 20
"""Bytes of an answer's head."""
_START_SECONDS = 30.0
_END_SECONDS = 5.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0

_log = logging.getLogger(__name__)


class AnswerTooLong(Exception):  # noqa: N818 - a fact about the answer
    """The answer of a child exceeds its limit."""


class NurseryGone(Exception):  # noqa: N818 - a fact
    """There is no nursery to fork from; it may be about to start again."""


@dataclass(frozen=True, slots=True)
class Start:
    """How to start a nursery. ``first`` is sent to it before any order, if not empty."""

    argv: Sequence[str]
    env: Mapping[str, str]
    confinement: Confinement
    first: bytes = b""


@dataclass(slots=True)
class Child:
    """A fork. ``ended`` is its exit status, negative for signals."""

    name: str
    reader: StreamReader
    writer: StreamWriter
    ended: asyncio.Future[int]

    async def ask(self, head: bytes, body: bytes, longest: int) -> Message | None:
        """Send a request and return the answer, or None when the process ends first.

        Raises AnswerTooLong for a body of more than ``longest`` bytes. A body may be tens of
        megabytes, so it is neither joined nor split here: each copy holds up the loop.
        """
        try:
            self.writer.write(LENGTHS.pack(len(head), len(body)) + head)
            self.writer.write(body)
            await self.writer.drain()
            lengths = LENGTHS.unpack(await self.reader.readexactly(LENGTHS.size))
            if lengths[0] > _MOST_HEAD or lengths[1] > longest:
                raise AnswerTooLong
            head = await self.reader.readexactly(lengths[0])
            return head, await self.reader.readexactly(lengths[1])
        except (ConnectionError, asyncio.IncompleteReadError):
            return None


class Children:
    """The forks of one nursery after another. ``label`` names them in the log."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._lived = False
        self._ready = asyncio.Event()
        self._control: socket.socket | None = None
        self._children: dict[str, Child] = {}
        self._numbers = count(1)

    async def run(self, sandbox: Sandbox, start: Start) -> NoReturn:
        """Keep a nursery alive until cancelled."""
        pause = _FIRST_PAUSE
        while True:
            self._lived = False
            try:
                async with launcher(sandbox) as guard:
                    await self._nurse(guard, start)
            except (OSError, GuardLost) as error:
                _log.error("the %s cannot start: %r", self._label, error)
            if self._lived:
                pause = _FIRST_PAUSE
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def ready(self) -> None:
        """Wait until there is a nursery. Raises NurseryGone when it does not start in time."""
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self._ready.wait()
        except TimeoutError:
            raise NurseryGone(f"The {self._label} does not start") from None

    async def fork(self, kind: str) -> Child:
        """Fork a process for a kind of work; it waits for requests. Raises NurseryGone."""
        await self.ready()
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await asyncio.open_unix_connection(sock=ours, limit=_CHUNK)
            ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            child = Child(str(next(self._numbers)), reader, writer, ended)
            if not self._order(f"FORK {child.name} {kind}", theirs.fileno()):
                writer.close()
                raise NurseryGone(f"The {self._label} ended unexpectedly")
        self._children[child.name] = child
        return child

    def lower(self, child: Child) -> None:
        """Lower the priority of a process."""
        self._order(f"LOWER {child.name}")

    async def kill(self, child: Child) -> None:
        """Kill a process, wait until it is gone, and close its connection."""
        try:
            if not child.ended.done():
                self._order(f"KILL {child.name}")
            async with asyncio.timeout(_END_SECONDS):
                await asyncio.shield(child.ended)
        except TimeoutError:
            _log.warning("a %s takes long to end", self._label)
        finally:
            await self.end(child)

    async def end(self, child: Child) -> None:
        """Kill a process that has not ended, and close its connection.

        Those for which nobody calls this are closed when the nursery ends.
        """
        self._children.pop(child.name, None)
        if not child.ended.done():
            self._order(f"KILL {child.name}")
        child.writer.close()
        with suppress(OSError):
            await child.writer.wait_closed()

    async def _nurse(self, guard: Launcher, start: Start) -> None:
        """Start a nursery and read its reports until it ends."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            ours.setblocking(False)
            with theirs:
                process = await guard.spawn(
                    start.argv,
                    env=start.env,
                    confinement=start.confinement,
                    stdin_from=theirs.fileno(),
                )
            logging_output = asyncio.create_task(self._log_output(process))
            try:
                if start.first:
                    ours.send(start.first)
                await self._listen(ours)
                # at once, since its end may be reported late
                await self._forget()
                _log.error("the %s ended: %s", self._label, await process.wait())
            finally:
                await self._forget()
                logging_output.cancel()
                await asyncio.gather(logging_output, return_exceptions=True)

    async def _listen(self, control: socket.socket) -> None:
        """Read reports until the nursery ends."""
        loop = asyncio.get_running_loop()
        while report := await loop.sock_recv(control, _REPORT_SIZE):
            kind, _, rest = report.decode().partition(" ")
            if kind == "READY":
                self._control = control
                self._ready.set()
                self._lived = True
                continue
            name, _, status = rest.partition(" ")
            child = self._children.get(name)
            if child is not None and not child.ended.done():
                child.ended.set_result(int(status))

    def _order(self, order: str, *files: int) -> bool:
        """Send an order; return False when the nursery ends or its queue is full."""
        if self._control is None:
            return False
        try:
            socket.send_fds(self._control, [order.encode()], files)
        except OSError:
            return False
        return True

    async def _forget(self) -> None:
        """Mark all children as gone, which wakes the tasks that wait for them."""
        self._ready.clear()
        self._control = None
        gone = tuple(self._children.values())
        self._children.clear()
        for child in gone:
            if not child.ended.done():
                child.ended.set_result(-signal.SIGKILL)
        # only now: a task that wakes meanwhile must not take another of them
        for child in gone:
            await self.end(child)

    async def _log_output(self, process: Confined) -> None:
        """Log the nursery's output, which may say why a fork failed; it is untrusted."""
        while line := await process.stderr.read(_LONGEST_LINE):
            _log.warning("%s: %r", self._label, line.decode(errors="replace"))
