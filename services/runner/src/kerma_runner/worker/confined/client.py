"""The confined processes of a worker: forks of one nursery, for the tasks that run now."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from kerma_runner.worker.confined.session import Session
from kerma_sandbox.confinement import Confinement, Limits
from kerma_sandbox.forks import handover
from kerma_sandbox.forks.children import Children, Start
from kerma_sandbox.forks.nursery import ForkLimits

if TYPE_CHECKING:
    from kerma_engines.adapter.port import Engine
    from kerma_runner.worker.files.scratch import Scratch
    from kerma_runner.worker.settings import WorkerSettings
    from kerma_sandbox.sandbox import Sandbox

_PROCESS = (sys.executable, "-m", "kerma_runner.worker.confined.process")
_LARGEST_FILE = 256 << 20
"""Bytes of a file that preparing a task writes: input sets hold at most 64 MiB."""
_PROCESSES_PER_SLOT = 4
REST_SECONDS = 60.0
"""After this long without a task the nursery ends, with its guard and the sessions that wait. It
takes 45 MB; the first task of the next job waits half a second for another."""


@dataclass(slots=True)
class ConfinedEngines:
    """The engines of a worker, called in confined processes.

    Their nursery starts with the context, and again for a task after a rest.
    """

    engines: Mapping[str, Engine]
    settings: WorkerSettings
    scratch: Scratch
    sandbox: Sandbox
    forks: Children = field(default_factory=lambda: Children("process for engines' files"))
    _idle: list[tuple[object, Session]] = field(default_factory=list)
    _running: asyncio.Task[NoReturn] | None = None
    _used: int = 0
    """Sessions of tasks that run."""
    _changing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _rest: asyncio.TimerHandle | None = None
    _resting: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def session(self, job: object) -> AsyncGenerator[Session, None]:
        """Provide a session for one task; ``job`` is equal for tasks with the same engine and input.

        Raises OSError when the folders cannot be made.
        """
        async with self._awake():
            session = self._take(job)
            if session is None:
                session = await asyncio.to_thread(self._make)
            try:
                yield session
            except BaseException:
                await self._end(session)
                raise
            await self._give_back(job, session)

    async def ready(self) -> None:
        """Wait until processes can be forked.

        Raises NurseryGone when that takes too long, ValueError when they would see a private place.
        """
        assert self._running is not None
        ready = asyncio.create_task(self.forks.ready())
        try:
            await asyncio.wait({ready, self._running}, return_when=asyncio.FIRST_COMPLETED)
            if self._running.done():
                await self._running
            await ready
        finally:
            ready.cancel()

    def start(self) -> None:
        """Keep a nursery alive until it is not needed for long."""
        # All forks share a user, who must reach the files that engines of other users leave.
        sandbox = replace(self.sandbox, uid=None)
        how = _start(self.engines, self.settings, self.scratch.home)
        self._running = asyncio.create_task(self.forks.run(sandbox, how))
        self._rest_later()

    async def end(self) -> None:
        """End the sessions that no task uses, and the nursery, for good."""
        self._stay()
        if self._resting is not None:
            await self._resting
        await self._stop()

    @asynccontextmanager
    async def _awake(self) -> AsyncGenerator[None, None]:
        """Keep the nursery from resting during the block."""
        self._used += 1
        self._stay()
        try:
            async with self._changing:
                if self._running is None:
                    self.start()
            yield
        finally:
            self._used -= 1
            self._rest_later()

    def _stay(self) -> None:
        if self._rest is not None:
            self._rest.cancel()

    def _rest_later(self) -> None:
        self._stay()
        if not self._used:
            self._rest = asyncio.get_running_loop().call_later(REST_SECONDS, self._begin_to_rest)

    def _begin_to_rest(self) -> None:
        self._resting = asyncio.create_task(self._rest_now())

    async def _rest_now(self) -> None:
        async with self._changing:
            if not self._used:
                await self._stop()

    async def _stop(self) -> None:
        while self._idle:
            await self._end(self._idle.pop()[1])
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def _take(self, job: object) -> Session | None:
        """Return the latest idle session of a job, if any."""
        for entry in reversed(self._idle):
            if entry[0] == job:
                self._idle.remove(entry)
                return entry[1]
        return None

    async def _give_back(self, job: object, session: Session) -> None:
        """Keep a session for the next task of its job, in place of the oldest one."""
        if session.fit and await asyncio.to_thread(self._emptied, session):
            self._idle.append((job, session))
            if len(self._idle) <= self.settings.slots:
                return
            _, session = self._idle.pop(0)
        await self._end(session)

    async def _end(self, session: Session) -> None:
        await session.end()
        await asyncio.to_thread(self.scratch.remove, session.work.parent)

    def _make(self) -> Session:
        folder = self.scratch.new_folder().resolve()
        work, kept = folder / "work", folder / "kept"
        for made in (work, kept):
            made.mkdir(mode=0o700)
        return Session(work, kept, self.forks, self.settings)

    def _emptied(self, session: Session) -> bool:
        return self.scratch.emptied(session.work) and self.scratch.emptied(session.kept)


@asynccontextmanager
async def confined_engines(
    engines: Mapping[str, Engine], settings: WorkerSettings, sandbox: Sandbox, scratch: Scratch
) -> AsyncGenerator[ConfinedEngines, None]:
    """Call engines in confined processes while the context lasts."""
    made = ConfinedEngines(engines, settings, scratch, sandbox)
    made.start()
    try:
        yield made
    finally:
        await made.end()


def _start(engines: Mapping[str, Engine], settings: WorkerSettings, home: Path) -> Start:
    """Return how to start the nursery, and what it may see and use; its forks see less."""
    code = handover.code_of(type(engine).__module__ for engine in engines.values())
    each = ForkLimits(
        address_space=settings.read_memory,
        file_size=_LARGEST_FILE,
        open_files=settings.task_open_files,
    )
    together = Limits(
        memory=None,
        processes=_PROCESSES_PER_SLOT * settings.slots + 16,
        file_size=_LARGEST_FILE,
        open_files=max(1024, settings.task_open_files),
    )
    return Start(
        [*_PROCESS, json.dumps(asdict(each))],
        handover.environment(code),
        Confinement(home.resolve(), code, confines=True, limits=together, nice=settings.nice),
        handover.packed(dict(engines)),
    )
