"""The service's side of the nursery: conversions as processes that can be lowered and killed."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
import tempfile
from asyncio import StreamReader, StreamWriter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import orjson

from kerma_common.errors import Unavailable
from kerma_common.projection.retries.failures import delays, pause
from kerma_common.settings import private_places
from kerma_jobs.adapters.conversion.limits import ConversionLimits
from kerma_jobs.adapters.conversion.work import LENGTH_SIZE, READY
from kerma_sandbox.confinement import Confinement, Limits
from kerma_sandbox.launcher import Confined, GuardLost, Launcher, launcher
from kerma_sandbox.measure import Mode, measure

NURSERY = (sys.executable, "-m", "kerma_jobs.adapters.conversion.nursery")
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"}
LIMITS = Limits(memory=None, processes=64, open_files=256, file_size=1 << 20)
"""Limits of the nursery with all its conversions; each conversion has narrower ones."""
NICE = 4
"""Niceness of conversions: below the service, above engines."""
REPORT_SIZE = 64
LONGEST_LINE = 500
CHUNK = 1 << 20
START_SECONDS = 30.0
GONE = "The converter ended unexpectedly; please try again"

logger = logging.getLogger(__name__)


Answer = tuple[bytes, bytes]
"""The first line of an answer, and the rest."""


class TooLongError(Exception):
    """The answer of a conversion is too long."""


@dataclass(slots=True)
class Child:
    """A process for one conversion. ``ended`` is its exit status, negative for signals."""

    name: str
    reader: StreamReader
    writer: StreamWriter
    ended: asyncio.Future[int]

    async def exchange(self, order: bytes, payload: bytes, longest: int) -> Answer | None:
        """Send the request and return the answer, or None when the process ends first.

        Raises TooLongError for an answer longer than ``longest`` bytes. Payload and answer may be
        tens of megabytes, so they are neither joined nor split here: each copy holds up the loop.
        """
        try:
            await self.reader.readexactly(len(READY))
            self.writer.write(order)
            self.writer.write(payload)
            self.writer.write_eof()
            await self.writer.drain()
            length = int.from_bytes(await self.reader.readexactly(LENGTH_SIZE), "big")
            if length > longest:
                raise TooLongError
            line = await self.reader.readuntil(b"\n")
            return line, await self.reader.readexactly(length - len(line))
        except asyncio.LimitOverrunError:
            raise TooLongError from None
        except (ConnectionError, asyncio.IncompleteReadError):
            return None


class Children:
    """A nursery, restarted when it ends, and the conversions forked from it."""

    def __init__(
        self,
        geant4_data: Mapping[str, str],
        limits: ConversionLimits,
        mode: Mode = Mode.PREFER,
    ) -> None:
        told = {
            "geant4_data": dict(geant4_data),
            "cpu_seconds": limits.cpu_seconds,
            "memory": limits.memory,
        }
        self._arguments = orjson.dumps(told).decode()
        self._mode = mode
        self._lived = False
        self._ready = asyncio.Event()
        self._control: socket.socket | None = None
        self._children: dict[str, Child] = {}
        self._numbers = count(1)

    async def run(self) -> None:
        """Keep a nursery alive until cancelled.

        Raises SandboxUnavailable where a sandbox is required, or where it would show secrets.
        """
        with tempfile.TemporaryDirectory(prefix="kerma-convert-") as folder:
            work = Path(folder)
            private = private_places()
            sandbox = await asyncio.to_thread(measure, work, mode=self._mode, private=private)
            logger.info("conversions are confined by %s", sandbox.level)
            waits = delays()
            while True:
                try:
                    async with launcher(sandbox) as guard:
                        await self._nurse(guard, work)
                    if self._lived:
                        waits = delays()
                except (OSError, GuardLost) as error:
                    logger.error("the converter cannot start: %s", error)
                await pause(waits)

    async def _nurse(self, guard: Launcher, folder: Path) -> None:
        """Start a nursery and read its reports until it ends."""
        self._lived = False
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            ours.setblocking(False)
            with theirs:
                process = await guard.spawn(
                    [*NURSERY, self._arguments],
                    env=ENVIRONMENT,
                    confinement=Confinement(folder, confines=True, limits=LIMITS, nice=NICE),
                    stdin_from=theirs.fileno(),
                )
            said = asyncio.create_task(_log(process))
            try:
                await self._listen(ours)
                # at once, since its end may be reported late
                await self._forget()
                logger.error("the converter ended: %s", await process.wait())
            finally:
                await self._forget()
                said.cancel()
                await asyncio.gather(said, return_exceptions=True)

    async def fork(self) -> Child:
        """Fork a process that waits for a request.

        Raises Unavailable while there is no nursery.
        """
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._ready.wait()
        except TimeoutError:
            raise Unavailable("The converter does not start; please try again") from None
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await asyncio.open_unix_connection(sock=ours, limit=CHUNK)
            ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            child = Child(str(next(self._numbers)), reader, writer, ended)
            if not self._order(f"FORK {child.name}", theirs.fileno()):
                writer.close()
                raise Unavailable(GONE)
        self._children[child.name] = child
        return child

    def lower(self, child: Child) -> None:
        """Lower the priority of a process."""
        self._order(f"LOWER {child.name}")

    async def end(self, child: Child) -> None:
        """Kill a process that has not ended, and close its connection."""
        if not child.ended.done():
            self._order(f"KILL {child.name}")
        child.writer.close()
        with suppress(OSError):
            await child.writer.wait_closed()

    async def _listen(self, control: socket.socket) -> None:
        """Read reports until the nursery ends."""
        loop = asyncio.get_running_loop()
        while report := await loop.sock_recv(control, REPORT_SIZE):
            kind, _, rest = report.decode().partition(" ")
            if kind == "READY":
                self._control = control
                self._ready.set()
                self._lived = True
                continue
            name, _, status = rest.partition(" ")
            child = self._children.pop(name, None)
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
        """Mark every process as gone, which wakes the tasks that wait for them."""
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


async def _log(process: Confined) -> None:
    """Log the nursery's output, which may say why a conversion failed; it is untrusted."""
    while line := await process.stderr.read(LONGEST_LINE):
        logger.warning("converter: %r", line.decode(errors="replace"))
