"""The end of a stream, read once for all its followers in a process.

Most followers of a stream stand within a few commits of its end. They share one consumer and the
decoded commits: what each of them needs beyond that costs nothing when the stream is quiet. A
follower that is further behind reads with a consumer of its own until it arrives.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any

from kerma_common.eventlog import api, pull

if TYPE_CHECKING:
    from nats.aio.client import Client

    from kerma_common.contracts.envelope import Recorded

READ = 500
"""Most commits that are read at once."""
KEPT = 1000
"""Most commits that are kept for the slower followers; nothing is kept that all have had."""


class Tails:
    """The tails of the streams that are followed on one connection."""

    def __init__(self, nc: Client) -> None:
        self._nc = nc
        self._tails: dict[str, _Tail] = {}
        self._told: dict[str, _Told] = {}

    def follow(
        self, stream: str, after: int, max_batch: int
    ) -> AsyncGenerator[Sequence[Recorded], None]:
        """Yield messages of ``stream`` after a sequence.

        Raises ContractViolation for a commit of a newer release, LogWentBackwards if the stream
        keeps ending before the last message handed on.
        """
        tail = self._tails.setdefault(stream, _Tail(self._nc, stream))
        return tail.follow(after, max_batch)

    async def info(self, stream: str) -> dict[str, Any]:
        """Return what the server tells of a stream, not earlier than now.

        Those who ask at the same moment, as periodic work does, share a request.
        """
        told = self._told.setdefault(stream, _Told())
        asked = time.monotonic()
        async with told.turn:
            if told.began < asked:
                await asyncio.sleep(0)  # others of this moment ask before the request begins
                began = time.monotonic()
                told.answer = await api.call(self._nc, f"STREAM.INFO.{stream}")
                told.began = began
            return told.answer


@dataclass(slots=True)
class _Told:
    """The last answer about a stream, and when its request began."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    began: float = -inf
    answer: dict[str, Any] = field(default_factory=dict)


class _Tail:
    """All commits after ``_begin``, up to ``_end``.

    Nothing reads on its own account: a follower that needs more than is here reads for all.
    """

    def __init__(self, nc: Client, stream: str) -> None:
        self._nc, self._stream = nc, stream
        self._records: list[Recorded] = []
        self._begin = self._end = 0
        self._places: dict[object, int] = {}
        self._reading: asyncio.Event | None = None
        self._consumer: pull.Consumer | None = None
        self._patience = pull.Patience(nc, stream)

    async def follow(self, after: int, max_batch: int) -> AsyncGenerator[Sequence[Recorded], None]:
        follower, position = object(), after
        try:
            while True:
                if await self._join(follower, position):
                    while batch := await self._next(follower, position, max_batch):
                        position = batch[-1].seq
                        yield batch
                    await self._leave(follower)
                async with aclosing(self._alone(position, max_batch)) as behind:
                    async for batch in behind:
                        position = batch[-1].seq
                        yield batch
        finally:
            await self._leave(follower)

    async def _join(self, follower: object, position: int) -> bool:
        """Return whether everything after ``position`` is here or still to be read."""
        patience = pull.Patience(self._nc, self._stream)
        while True:
            try:
                last = await pull.last_seq(self._nc, self._stream, position)
            except pull.Patience.FAULTS as fault:
                await patience.after(fault, position)
            else:
                break
        if not self._places:
            # One that is far behind reads alone, so that nobody who comes later waits for it.
            self._begin = self._end = position if last - position < READ else last
            self._records.clear()
        if position < self._begin:
            return False
        self._places[follower] = position
        return True

    async def _alone(
        self, position: int, max_batch: int
    ) -> AsyncGenerator[Sequence[Recorded], None]:
        """Yield what comes after ``position`` until the shared commits continue it."""
        async with aclosing(pull.batches(self._nc, self._stream, position, max_batch)) as batches:
            while (batch := await anext(batches))[-1].seq < self._begin:
                yield batch
        # The consumer is gone before the follower, which may be slow, gets the last batch.
        yield batch

    async def _next(
        self, follower: object, position: int, max_batch: int
    ) -> Sequence[Recorded] | None:
        """Return the commits after ``position``, at least one; None if they are no longer here."""
        while position >= self._end:
            await self._more()
        if position < self._begin:
            return None
        first = bisect_right(self._records, position, key=_seq)
        batch = self._records[first : first + max_batch]
        self._places[follower] = batch[-1].seq
        self._drop(min(self._places.values()))
        return batch

    async def _more(self) -> None:
        """Read for all, or wait until another follower has read or given up."""
        if self._reading is not None:
            # Not a lock: one that has all there is would wait in front of one that has not.
            await self._reading.wait()
            return
        self._reading = ended = asyncio.Event()
        try:
            await self._read()
        finally:
            self._reading = None
            ended.set()

    async def _read(self) -> None:
        """Add at least one commit, or pause after a fault."""
        try:
            if self._consumer is None:
                self._consumer = pull.Consumer(self._nc, self._stream, self._end, READ)
                await self._consumer.open(known=max(self._places.values()))
            batch = await self._consumer.next_batch()
        except pull.Patience.FAULTS as fault:
            await self._close()
            await self._patience.after(fault, self._end)
        except BaseException:
            await self._close()
            raise
        else:
            self._patience.reset()
            self._records += batch
            self._end = batch[-1].seq
            if len(self._records) > KEPT:
                self._drop(self._records[-KEPT - 1].seq)

    def _drop(self, until: int) -> None:
        del self._records[: bisect_right(self._records, until, key=_seq)]
        self._begin = max(self._begin, min(until, self._end))

    async def _leave(self, follower: object) -> None:
        self._places.pop(follower, None)
        if not self._places:
            self._records.clear()
            await self._close()

    async def _close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.close()


def _seq(record: Recorded) -> int:
    return record.seq
