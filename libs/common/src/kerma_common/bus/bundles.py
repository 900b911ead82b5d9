"""Bundles: requests of one sender that travel in one message, as do their answers.

A message costs sender, bus and receiver more than a small request itself. Requests that arise while
two others are on their way wait for an answer and then travel together; a request that is alone
never waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextvars import Context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, TypeVar

import nats.errors
from pydantic import Field

from kerma_common.bus.rpc import read_answer, unanswered
from kerma_common.contracts.registry import adapter
from kerma_common.errors import ContractViolation, Unavailable
from kerma_common.telemetry.traces import HEADER, traceparent

if TYPE_CHECKING:
    from kerma_common.bus.faststream import EdgeBroker

T = TypeVar("T")
MOST, MOST_CHARACTERS = 64, 64 * 1024
"""Requests and characters of a bundle; a larger request travels alone."""
AT_ONCE = 2
"""Messages on their way before requests wait."""
PATIENCE_SECONDS = 0.05
"""A message that takes longer no longer holds up other requests."""
TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Bundled:
    """A request: its subject and body as if it travelled alone, and its trace context."""

    subject: Annotated[str, Field(max_length=64)]
    body: Annotated[str, Field(max_length=MOST_CHARACTERS)]
    trace: Annotated[str | None, Field(max_length=64)] = None


@dataclass(frozen=True, slots=True)
class Bundle:
    """Requests that may be answered in any order."""

    requests: Annotated[tuple[Bundled, ...], Field(min_length=1, max_length=MOST)]


@dataclass(frozen=True, slots=True)
class Answers:
    """The body of each request's answer, in the order of the requests."""

    bodies: tuple[str, ...]


@dataclass(slots=True, eq=False)
class _Waiting:
    request: Bundled
    answer: asyncio.Future[bytes]


@dataclass(slots=True)
class Bundler:
    """Sends requests of many tasks; those that wait at the same time go to ``subject`` together."""

    broker: EdgeBroker
    subject: str
    _waiting: deque[_Waiting] = field(default_factory=deque, init=False)
    _sending: set[asyncio.Task[None]] = field(default_factory=set, init=False)
    _room: int = field(default=AT_ONCE, init=False)
    _begun: bool = field(default=True, init=False)

    async def call(self, subject: str, asked: object, reply: type[T]) -> T:
        """Send ``asked`` and return the reply; raises what ``bus.rpc.call`` raises."""
        body = adapter(type(asked)).dump_json(asked).decode()
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(Bundled(subject, body, traceparent()), answer))
        self._send()
        return await read_answer(self.broker, subject, await answer, reply)

    def _send(self) -> None:
        """Send what waits, if there is room, once every task that is ready has added to it."""
        if not self._waiting or not self._room or not self._begun:
            return
        self._room -= 1
        self._begun = False
        # A bundle belongs to no trace: each of its requests has its own.
        sending = asyncio.create_task(self._exchange(), context=Context())
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)

    async def _exchange(self) -> None:
        self._begun = True
        some = self._take()
        held = True

        def make_room() -> None:
            nonlocal held
            if held:
                held = False
                self._room += 1
                self._send()

        aged = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, make_room)
        self._send()
        try:
            await self._ask(some)
        except BaseException as error:
            _fail(some, error)
            if not isinstance(error, Exception):
                raise
        finally:
            aged.cancel()
            make_room()

    def _take(self) -> list[_Waiting]:
        """Return what travels next, without requests that were given up."""
        some: list[_Waiting] = []
        characters = 0
        while self._waiting and len(some) < MOST:
            characters += len(self._waiting[0].request.body)
            if some and characters > MOST_CHARACTERS:
                break
            waiting = self._waiting.popleft()
            if not waiting.answer.done():
                some.append(waiting)
        return some

    async def _ask(self, some: Sequence[_Waiting]) -> None:
        if len(some) > 1:
            try:
                await self._ask_together(some)
            except nats.errors.NoRespondersError:
                # A runner of a former release takes no bundles.
                await asyncio.gather(*map(self._ask_alone, some))
        elif some:
            await self._ask_alone(some[0])

    async def _ask_together(self, some: Sequence[_Waiting]) -> None:
        body = adapter(Bundle).dump_json(Bundle(tuple(waiting.request for waiting in some)))
        answer = await self._request(self.subject, body)
        bodies = (await read_answer(self.broker, self.subject, answer, Answers)).bodies
        if len(bodies) != len(some):
            raise ContractViolation(
                f"{self.subject}: {len(bodies)} answers to {len(some)} requests"
            )
        for waiting, found in zip(some, bodies, strict=True):
            _tell(waiting, found.encode())

    async def _ask_alone(self, waiting: _Waiting) -> None:
        request = waiting.request
        headers = {HEADER: request.trace} if request.trace else None
        try:
            answer = await self._request(request.subject, request.body.encode(), headers)
        except nats.errors.NoRespondersError as error:
            _fail([waiting], unanswered(request.subject, error))
        except Unavailable as error:
            _fail([waiting], error)
        else:
            _tell(waiting, answer)

    async def _request(
        self, subject: str, body: bytes, headers: dict[str, str] | None = None
    ) -> bytes:
        """Return the answer. Raises Unavailable, or NoRespondersError if nobody serves ``subject``."""
        try:
            found = await self.broker.request(
                body, subject, headers=headers, timeout=TIMEOUT_SECONDS
            )
        except nats.errors.NoRespondersError:
            raise
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise unanswered(subject, error) from error
        return found.body


def _tell(waiting: _Waiting, answer: bytes) -> None:
    if not waiting.answer.done():
        waiting.answer.set_result(answer)


def _fail(some: Sequence[_Waiting], error: BaseException) -> None:
    for waiting in some:
        if waiting.answer.done():
            continue
        if isinstance(error, Exception):
            waiting.answer.set_exception(error)
        else:
            waiting.answer.cancel()
