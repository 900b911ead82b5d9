"""Calls of a fork: requests bounded in time and memory, and why one has no answer."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kerma_sandbox.forks.children import AnswerTooLong
from kerma_sandbox.forks.nursery import OUT_OF_MEMORY

if TYPE_CHECKING:
    from kerma_sandbox.forks.children import Child
    from kerma_sandbox.forks.nursery import Message

_END_SECONDS = 5.0
_FROM_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM)


class Exceeded(Exception):  # noqa: N818 - a verdict on the files
    """The call took more time or memory than allowed; the message names the setting."""


class CallFailed(Exception):  # noqa: N818 - what nobody foresaw, in another process
    """The call ended in a way that says nothing about the files.

    ``again`` if it may succeed when it is repeated: the process was killed from outside.
    """

    def __init__(self, message: str, *, again: bool = False) -> None:
        self.again = again
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit, in seconds or bytes, and the name of its setting."""

    value: float
    setting: str


@dataclass(frozen=True, slots=True)
class Call:
    """What is called, as a message about a failure says it (``reading them``), and its limits.

    ``memory`` is enforced by the nursery (``ForkLimits``).
    """

    doing: str
    time: Limit
    memory: Limit

    @asynccontextmanager
    async def in_time(self) -> AsyncGenerator[None, None]:
        """Limit the time of what is inside. Raises Exceeded."""
        try:
            async with asyncio.timeout(self.time.value):
                yield
        except TimeoutError:
            reason = f"{self.doing} took longer than {self.time.value:g} s ({self.time.setting})"
            raise Exceeded(reason) from None

    async def ask(self, child: Child, head: bytes, body: bytes = b"", longest: int = 0) -> Message:
        """Return the answer of a fork, with a body of at most ``longest`` bytes.

        Raises Exceeded, CallFailed.
        """
        try:
            answer = await child.ask(head, body, longest)
        except AnswerTooLong:
            raise CallFailed(f"{self.doing} gave too long an answer") from None
        if answer is None:
            raise await self._end_of(child)
        return answer

    async def _end_of(self, child: Child) -> Exception:
        """Return why a process ended without an answer."""
        try:
            async with asyncio.timeout(_END_SECONDS):
                status = await asyncio.shield(child.ended)
        except TimeoutError:
            return CallFailed(f"the process for {self.doing} hung up")
        if status == OUT_OF_MEMORY:
            limit = f"{self.memory.value:.0f} bytes ({self.memory.setting})"
            return Exceeded(f"{self.doing} needs more than {limit}")
        again = status in _FROM_OUTSIDE
        return CallFailed(f"the process for {self.doing} was killed", again=again)
