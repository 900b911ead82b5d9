"""Waiting until a projection has seen a commit: this makes POST followed by GET work."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from typing import TYPE_CHECKING

from nats.errors import Error as NatsError
from prometheus_client import Counter, Histogram
from sqlalchemy import select

from kerma_common.poison import Source, record_poison
from kerma_common.precedence import precedence
from kerma_common.projection.rows.tables import CHECKPOINT

if TYPE_CHECKING:
    from collections.abc import Callable

    from nats.aio.client import Client
    from sqlalchemy.ext.asyncio import AsyncEngine

WAIT = Histogram(
    "kerma_ryw_wait_seconds",
    "Waiting until a projection had passed a position",
    ["service", "projection"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0),
)
TIMEOUTS = Counter(
    "kerma_ryw_timeouts_total", "Waits that ended without the position", ["service", "projection"]
)
_log = logging.getLogger(__name__)
_POSITION = re.compile(rb"[0-9]{1,18}")
Key = tuple[str, ...]


class Watermarks:
    """Numbers that only grow; tasks can wait until one reaches a value."""

    def __init__(self) -> None:
        self._reached: dict[Key, int] = {}
        self._waiting: dict[Key, dict[asyncio.Future[None], int]] = {}
        self._resting: dict[Key, asyncio.Future[None]] = {}
        self._listeners: list[Callable[[], None]] = []

    def __getitem__(self, key: Key) -> int:
        return self._reached.get(key, 0)

    def advance(self, key: Key, value: int) -> None:
        """Raise a number and wake the tasks that wait for it."""
        if value <= self._reached.get(key, -1):
            return
        self._reached[key] = value
        for listener in self._listeners:
            listener()
        waiting = self._waiting.get(key, {})
        for future in [f for f, wanted in waiting.items() if wanted <= value]:
            del waiting[future]
            if not future.done():
                future.set_result(None)

    def listen(self, listener: Callable[[], None]) -> None:
        """Call a function whenever a number grows."""
        self._listeners.append(listener)

    async def wait(self, key: Key, value: int, timeout: float) -> bool:
        """Return whether the number reaches ``value`` within ``timeout`` seconds."""
        if self._reached.get(key, 0) >= value:
            return True
        future = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, {})[future] = value
        if (resting := self._resting.pop(key, None)) is not None and not resting.done():
            resting.set_result(None)
        try:
            with precedence().waiting():
                async with asyncio.timeout(timeout):
                    await future
        except TimeoutError:
            return False
        finally:
            self._waiting[key].pop(future, None)
        return True

    async def rest(self, key: Key, seconds: float) -> None:
        """Sleep for ``seconds``, or until a task waits for the number. One task at a time may."""
        if self._waiting.get(key):
            return
        future = asyncio.get_running_loop().create_future()
        self._resting[key] = future
        timer = asyncio.get_running_loop().call_later(seconds, _wake, future)
        try:
            await future
        finally:
            timer.cancel()
            if self._resting.get(key) is future:
                del self._resting[key]


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Positions:
    """How far the projections of one service have come, in this process and in others.

    With ``nats``, this process publishes its positions to the other processes of the service, and
    ``run`` listens to theirs. These messages are hints: the checkpoint row is authoritative, and is
    read before a wait fails.
    """

    def __init__(
        self, service: str, db: AsyncEngine | None = None, nats: Client | None = None
    ) -> None:
        self._service = service
        self._db = db
        self._nats = nats
        self._marks = Watermarks()

    async def advance(self, projection: str, stream: str, seq: int) -> None:
        """Record that the rows of ``projection`` hold everything of ``stream`` up to ``seq``."""
        self._marks.advance((projection, stream), seq)
        if self._nats is not None:
            subject = f"pos.{self._service}.{projection}.{stream}"
            try:
                await self._nats.publish(subject, str(seq).encode())
            except (NatsError, OSError) as error:
                _log.warning("position not published: %s", error)

    def reached(self, projection: str, stream: str) -> int:
        """Return the last position of ``projection`` in ``stream`` that this process heard of."""
        return self._marks[projection, stream]

    async def reach(self, projection: str, stream: str, seq: int, timeout: float) -> bool:
        """Return whether this process hears within ``timeout`` seconds that ``seq`` is passed."""
        return await self._marks.wait((projection, stream), seq, timeout)

    def listen(self, listener: Callable[[], None]) -> None:
        """Call a function whenever this process hears of a new position."""
        self._marks.listen(listener)

    async def rest(self, projection: str, stream: str, seconds: float) -> None:
        """Sleep for ``seconds``, or until a task of this process waits for this position."""
        await self._marks.rest((projection, stream), seconds)

    async def wait(self, projection: str, stream: str, seq: int, timeout: float = 2.0) -> bool:
        """Return whether ``projection`` passes ``seq`` of ``stream`` within ``timeout`` seconds."""
        started = time.perf_counter()
        key = (projection, stream)
        reached = await self._marks.wait(key, seq, timeout)
        reached = reached or await self.passed(projection, stream, seq)
        WAIT.labels(self._service, projection).observe(time.perf_counter() - started)
        if not reached:
            TIMEOUTS.labels(self._service, projection).inc()
        return reached

    async def passed(self, projection: str, stream: str, seq: int) -> bool:
        """Return whether ``projection`` has passed ``seq``; the checkpoint says what was not heard."""
        key = (projection, stream)
        if self._marks[key] < seq and self._db is not None:
            self._marks.advance(key, await self._stored(self._db, projection, stream))
        return self._marks[key] >= seq

    async def run(self) -> None:
        """Listen to the other processes of the service until cancelled."""
        if self._nats is None:
            return
        found = await self._nats.subscribe(f"pos.{self._service}.*.*")
        async for message in found.messages:
            _, _, projection, stream = message.subject.split(".")
            if _POSITION.fullmatch(message.data):
                self._marks.advance((projection, stream), int(message.data))
            else:
                what = (Source.POSITION, message.subject, message.data)
                await record_poison(self._nats, *what, "not a sequence")

    @staticmethod
    async def _stored(db: AsyncEngine, projection: str, stream: str) -> int:
        async with db.connect() as conn:
            found = await conn.scalar(
                select(CHECKPOINT.c.seq).where(
                    CHECKPOINT.c.name == projection, CHECKPOINT.c.stream == stream
                )
            )
        return found or 0
