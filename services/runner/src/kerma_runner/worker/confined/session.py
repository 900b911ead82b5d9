"""Calls of engines' own code on hostile files, in a confined process: the worker's side.

The worker receives a few names and numbers, which it checks. A session serves the tasks of one job,
one after another, because a fork takes more processor time than a call.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from kerma_engines.adapter.port import Command
from kerma_runner.worker.confined.messages import KIND, Answer, encode_request
from kerma_runner.worker.confining import confinement
from kerma_sandbox.forks.calls import Call, CallFailed, Limit
from kerma_sandbox.forks.children import NurseryGone

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kerma_engines.adapter.port import Engine
    from kerma_runner.worker.settings import WorkerSettings
    from kerma_sandbox.confinement import Confinement
    from kerma_sandbox.forks.children import Child, Children

_QUICK_SECONDS = 1.0
"""A process that took longer for a call may hold much memory, and is not kept."""
_SMALL_INPUT = 1 << 20
"""Bytes of an encoded input set with which a process is kept."""


class Refused(Exception):  # noqa: N818 - a verdict on the files
    """The engine refuses its files; the message is for the user."""


@dataclass(slots=True, eq=False)
class Session:
    """Two folders for one task at a time, and the process that works on the files in them.

    ``work`` is the engine's work folder; the process may write there. ``kept`` is where results go;
    it may read these. Both paths are free of links.
    """

    work: Path
    kept: Path
    forks: Children
    settings: WorkerSettings
    engine: Engine | None = None
    inputs: bytes = b""
    stands_in_for: str = ""
    """The engine that the user asked for, known after the first call."""
    reusable: bool = True
    _child: Child | None = None
    _confined: tuple[object, Confinement] | None = None

    async def prepare(self, *, primaries: int, seed: int) -> Command:
        """Write the files of one task and return how to start it.

        What is started, its environment and its readable folders come from the worker's own engine
        and never from an answer.

        Raises Refused, Exceeded, CallFailed.
        """
        assert self.engine is not None
        numbers = {"primaries": primaries, "seed": seed}
        limit = Limit(self.settings.prepare_seconds, "KERMA_WORKER_PREPARE_SECONDS")
        answer = await self._call("preparing it", limit, "prepare", self.work, **numbers)
        program = self.engine.program
        return Command(
            (program.name, *answer.arguments),
            env=program.env,
            watch=answer.watch,
            results=answer.results,
            logs=answer.logs,
            readable=program.readable,
            refusal=program.refusal,
        )

    def confinement(
        self, command: Command, env: Mapping[str, str], private: Sequence[Path]
    ) -> Confinement:
        """Return the confinement of the engine, found once for all tasks.

        Raises ValueError naming a folder that is too wide.
        """
        start = (command.argv[0], env, command.readable)
        if self._confined is None or self._confined[0] != start:
            found = confinement(command, env, self.work, self.settings, private)
            self._confined = start, found
        return self._confined[1]

    async def estimators(self, folder: Path) -> tuple[tuple[str, int], ...]:
        """Return the name and primaries of every estimator in ``folder``, which is in ``kept``.

        Raises Refused, Exceeded, CallFailed.
        """
        limit = Limit(self.settings.read_seconds, "KERMA_WORKER_READ_SECONDS")
        answer = await self._call("reading them", limit, "read", folder)
        return answer.estimators

    @property
    def fit(self) -> bool:
        """Whether the process may work for another task of the job."""
        alive = self._child is not None and not self._child.ended.done()
        return self.reusable and alive and len(self.inputs) <= _SMALL_INPUT

    async def end(self) -> None:
        """End the process."""
        child, self._child = self._child, None
        if child is not None:
            await self.forks.end(child)

    async def _call(
        self, doing: str, time_limit: Limit, action: str, folder: Path, **numbers: int
    ) -> Answer:
        memory = Limit(self.settings.read_memory, "KERMA_WORKER_READ_MEMORY")
        call = Call(doing, time_limit, memory)
        try:
            child, new = await self._process()
            begun = time.monotonic()
            async with call.in_time():
                if new:
                    await self._open(child, call)
                head = encode_request(action, folder=str(folder), **numbers)
                answer = await self._ask(child, call, head)
        except BaseException:
            await self.end()
            raise
        self.reusable = self.reusable and time.monotonic() - begun < _QUICK_SECONDS
        return answer

    async def _process(self) -> tuple[Child, bool]:
        """Return a living process, and whether it is a new one."""
        if self._child is not None and not self._child.ended.done():
            return self._child, False
        await self.end()
        try:
            self._child = await self.forks.fork(KIND)
        except NurseryGone as gone:
            raise CallFailed(str(gone)) from None
        return self._child, True

    async def _open(self, child: Child, call: Call) -> None:
        assert self.engine is not None
        arguments: dict[str, Any] = {
            "engine": self.engine.name,
            "work": str(self.work),
            "kept": str(self.kept),
        }
        answer = await self._ask(child, call, encode_request("open", **arguments), self.inputs)
        self.stands_in_for = answer.stands_in_for

    async def _ask(self, child: Child, call: Call, head: bytes, body: bytes = b"") -> Answer:
        reply, _ = await call.ask(child, head, body)
        try:
            answer = Answer.model_validate_json(reply)
        except ValidationError:
            raise CallFailed(f"{call.doing} gave an answer of another form") from None
        if answer.refused is not None:
            raise Refused(answer.refused)
        if answer.fault is not None:
            raise CallFailed(answer.fault)
        return answer
