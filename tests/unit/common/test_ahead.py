"""One batch is read ahead of its use, in order, and never after the reading has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest

from kerma_common.contracts.envelope import Commit, Meta, Recorded
from kerma_common.projection.ahead import Ahead

_COMMIT = Commit("c", "job", "j", 1, Meta("a", "c", "c", "jobs"), ())


class Stream:
    """Batches of one commit each, up to ``stop``; then an error."""

    def __init__(self, stop: int) -> None:
        self.stop, self.read, self.closed = stop, 0, False
        self.arrived = asyncio.Event()
        self.arrived.set()

    async def batches(self) -> AsyncGenerator[Sequence[Recorded], None]:
        try:
            while self.read < self.stop:
                await self.arrived.wait()
                self.read += 1
                yield [Recorded("JOBS", self.read, "s", _COMMIT)]
            raise ConnectionError("lost")
        finally:
            self.closed = True


async def test_batches_come_in_order_whether_or_not_they_are_begun() -> None:
    stream, seen = Stream(6), []
    async with Ahead(stream.batches()) as ahead:
        for number in range(6):
            if number % 2:
                ahead.begin()
                ahead.begin()
            seen += [record.seq for record in await ahead.next()]
    assert seen == [1, 2, 3, 4, 5, 6]


async def test_one_batch_is_read_before_it_is_asked_for_and_no_more() -> None:
    stream = Stream(6)
    async with Ahead(stream.batches()) as ahead:
        ahead.begin()
        for _ in range(10):
            await asyncio.sleep(0)
            ahead.begin()
        assert stream.read == 1


async def test_an_error_of_the_reading_is_raised_where_its_batch_is_due() -> None:
    stream = Stream(1)
    async with Ahead(stream.batches()) as ahead:
        await ahead.next()
        ahead.begin()
        await asyncio.sleep(0)
        with pytest.raises(ConnectionError):
            await ahead.next()


async def test_reading_ends_before_the_iterator_is_closed() -> None:
    stream = Stream(6)
    stream.arrived.clear()
    batches = stream.batches()
    with pytest.raises(ValueError, match="failed"):
        await _fail_while_reading(batches)
    assert stream.closed
    await batches.aclose()


async def test_an_error_that_nobody_waits_for_leaves_the_reason_of_the_end() -> None:
    with pytest.raises(ValueError, match="failed"):
        await _fail_while_reading(Stream(0).batches())


async def _fail_while_reading(batches: AsyncGenerator[Sequence[Recorded], None]) -> None:
    async with Ahead(batches) as ahead:
        ahead.begin()
        await asyncio.sleep(0)
        raise ValueError("failed")
