"""Turns of conversions: fair over users, bounded, and not held up by slow ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from kerma_common.errors import TooManyRequests, Unavailable
from kerma_jobs.adapters.conversion.fair_queue import FairQueue, Turn
from kerma_jobs.adapters.conversion.limits import QueueLimits
from kit.events.tasks import settle


class World:
    """A queue, the order in which turns were granted, and events that hold each of them open."""

    def __init__(self, **limits: int) -> None:
        self.queue = FairQueue(QueueLimits(**limits))
        self.granted: list[str] = []
        self.turns: dict[str, Turn] = {}
        self._open: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def submit(self, name: str, size: int = 1) -> None:
        """Submit for the user that the name begins with, such as ``a1``."""
        self._open[name] = asyncio.Event()
        self._tasks[name] = asyncio.create_task(self._run(name, size))
        await settle()

    async def finish(self, name: str) -> None:
        self._open[name].set()
        await self._tasks.pop(name)
        await settle()

    async def cancel(self, name: str) -> None:
        self._tasks[name].cancel()
        with pytest.raises(asyncio.CancelledError):
            await self._tasks.pop(name)
        await settle()

    async def refused(self, name: str) -> BaseException:
        """Return why a submission was refused."""
        (reason,) = await asyncio.gather(self._tasks.pop(name), return_exceptions=True)
        assert isinstance(reason, BaseException)
        return reason

    async def end(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _run(self, name: str, size: int) -> None:
        async with self.queue.turn(name[0], size) as turn:
            self.granted.append(name)
            self.turns[name] = turn
            await self._open[name].wait()


@asynccontextmanager
async def world(**limits: int) -> AsyncIterator[World]:
    found = World(**limits)
    try:
        yield found
    finally:
        await found.end()


async def test_one_user_s_many_submissions_let_others_pass() -> None:
    async with world(fast=1) as w:
        for name in ("a1", "a2", "a3", "b1", "c1"):
            await w.submit(name)
        for name in ("a1", "a2", "b1", "c1"):
            await w.finish(name)
        # a waited before b and c, but after its first turn they come first, each in turn
        assert w.granted == ["a1", "a2", "b1", "c1", "a3"]


async def test_a_user_has_one_turn_at_a_time_however_many_are_free() -> None:
    async with world(fast=4) as w:
        for name in ("a1", "a2", "b1"):
            await w.submit(name)
        assert w.granted == ["a1", "b1"]
        await w.finish("a1")
        assert w.granted == ["a1", "b1", "a2"]


async def test_a_slow_turn_makes_room_for_the_next_user() -> None:
    async with world(fast=1, slow=1) as w:
        await w.submit("a1")
        await w.submit("a2")
        await w.submit("b1")
        assert w.granted == ["a1"]
        assert w.queue.slow_down(w.turns["a1"])
        await settle()
        # its own user still waits for it
        assert w.granted == ["a1", "b1"]
        assert not w.queue.slow_down(w.turns["b1"])
        await w.finish("a1")
        assert w.queue.slow_down(w.turns["b1"])
        await settle()
        assert w.granted == ["a1", "b1", "a2"]


async def test_bounds_are_per_user_and_for_all() -> None:
    async with world(fast=1, waiting=3, waiting_per_user=2) as w:
        for name in ("a1", "a2", "a3", "a4"):
            await w.submit(name)
        own = await w.refused("a4")
        assert isinstance(own, TooManyRequests)
        assert "You have 2 submissions waiting" in own.message
        assert own.retry_after > 0
        await w.submit("b1")
        await w.submit("c1")
        everyones = await w.refused("c1")
        assert isinstance(everyones, Unavailable)
        assert "3 submissions of all users are waiting" in everyones.message
        await w.finish("a1")
        await w.submit("d1")
        assert w.queue.waiting == 3


async def test_bytes_that_wait_are_bounded() -> None:
    async with world(fast=1, waiting_bytes=10, waiting_bytes_per_user=8) as w:
        await w.submit("a1", 100)  # alone it may be as large as bodies may be
        await w.submit("a2", 7)
        await w.submit("a3", 2)
        own = await w.refused("a3")
        assert isinstance(own, TooManyRequests)
        assert "have 7 bytes" in own.message
        assert "the limit of 8" in own.message
        await w.submit("b1", 4)
        everyones = await w.refused("b1")
        assert isinstance(everyones, Unavailable)
        assert "have 7 bytes" in everyones.message
        assert "the limit of 10" in everyones.message
        await w.submit("c1", 3)
        assert w.queue.waiting == 2


async def test_who_gives_up_leaves_no_trace() -> None:
    async with world(fast=1) as w:
        await w.submit("a1")
        await w.submit("b1")
        await w.submit("c1")
        await w.cancel("b1")
        await w.cancel("a1")
        assert w.granted == ["a1", "c1"]
        await w.finish("c1")
        assert (w.queue.fast, w.queue.slow, w.queue.waiting) == (0, 0, 0)


async def test_a_turn_that_is_granted_to_one_who_has_just_given_up_goes_on() -> None:
    async with world(fast=1) as w:
        for name in ("a1", "b1", "c1"):
            await w.submit(name)
        w._open["a1"].set()
        w._tasks["b1"].cancel()
        await settle()
        assert w.granted == ["a1", "c1"]
        assert w.queue.fast == 1
