"""Calls of engines' own code on hostile files, in a confined process: the worker's side.

The worker receives a few names and numbers, which it checks. A session serves the tasks of one job,
one after another, because a fork takes more processor time than a call.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from kerma_engines.adapter.port import Command
from kerma_runner.worker.confined.messages import Answer, encode_request
from kerma_sandbox.forks.children import AnswerTooLong, NurseryGone
from kerma_sandbox.forks.nursery import OUT_OF_MEMORY

if TYPE_CHECKING:
    from kerma_engines.adapter.port import Engine
    from kerma_runner.worker.settings import WorkerSettings
    from kerma_sandbox.forks.children import Child, Children

_END_SECONDS = 5.0
_QUICK_SECONDS = 1.0
"""A process that took longer for a call may hold much memory, and is not kept."""
_SMALL_INPUT = 1 << 20
"""Bytes of an encoded input set with which a process is kept."""


class Refused(Exception):  # noqa: N818 - a verdict on the files
    """The engine refuses its files; the message is for the user."""


class Exceeded(Exception):  # noqa: N818 - a verdict on the files
    """The call took more time or memory than allowed; the message names the setting."""


class CallFailed(Exception):  # noqa: N818 - what nobody foresaw, in another process
    """The call ended in a way that says nothing about the files."""


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

    async def prepare(self, *, primaries: int, seed: int) -> Command:
        """Write the files of one task and return how to start it.

        What is started, its environment and its readable folders come from the worker's own engine
        and never from an answer.

        Raises Refused, Exceeded, CallFailed.
        """
        assert self.engine is not None
        numbers = {"primaries": primaries, "seed": seed}
        seconds = self.settings.prepare_seconds
        answer = await self._call(
            ("preparing it", seconds, "PREPARE_SECONDS"), "prepare", self.work, **numbers
        )
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

    async def estimators(self, folder: Path) -> tuple[tuple[str, int], ...]:
        """Return the name and primaries of every estimator in ``folder``, which is in ``kept``.

        Raises Refused, Exceeded, CallFailed.
        """
        seconds = self.settings.read_seconds
        answer = await self._call(("reading them", seconds, "READ_SECONDS"), "read", folder)
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
        self, limit: tuple[str, float, str], action: str, folder: Path, **numbers: int
    ) -> Answer:
        doing, seconds, setting = limit
        try:
            child, new = await self._process()
            begun = time.monotonic()
            async with asyncio.timeout(seconds):
                if new:
                    await self._open(child, doing)
                request = encode_request(action, folder=str(folder), **numbers)
                answer = await self._ask(child, request, b"", doing)
        except TimeoutError:
            await self.end()
            reason = f"{doing} took longer than {seconds:g} s (KERMA_WORKER_{setting})"
            raise Exceeded(reason) from None
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
            self._child = await self.forks.fork()
        except NurseryGone as gone:
            raise CallFailed(str(gone)) from None
        return self._child, True

    async def _open(self, child: Child, doing: str) -> None:
        assert self.engine is not None
        arguments: dict[str, Any] = {
            "engine": self.engine.name,
            "work": str(self.work),
            "kept": str(self.kept),
        }
        answer = await self._ask(child, encode_request("open", **arguments), self.inputs, doing)
        self.stands_in_for = answer.stands_in_for

    async def _ask(self, child: Child, head: bytes, body: bytes, doing: str) -> Answer:
        try:
            message = await child.ask(head, body, longest=0)
            if message is None:
                raise await self._end_of(child, doing)
            answer = Answer.model_validate_json(message[0])
        except AnswerTooLong:
            raise CallFailed(f"{doing} gave too long an answer") from None
        except ValidationError:
            raise CallFailed(f"{doing} gave an answer of another form") from None
        if answer.refused is not None:
            raise Refused(answer.refused)
        if answer.fault is not None:
            raise CallFailed(answer.fault)
        return answer

    async def _end_of(self, child: Child, doing: str) -> Exception:
        """Return why a process ended without an answer."""
        try:
            async with asyncio.timeout(_END_SECONDS):
                status = await asyncio.shield(child.ended)
        except TimeoutError:
            status = 0
        if status == OUT_OF_MEMORY:
            most = self.settings.read_memory
            return Exceeded(f"{doing} needs more than {most} bytes (KERMA_WORKER_READ_MEMORY)")
        return CallFailed(f"the process for {doing} was killed")
