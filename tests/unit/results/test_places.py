"""Places for deliveries: how they are shared."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from kerma_common.errors import TooManyRequests, Unavailable
from kerma_results.app import places
from kerma_results.app.places import PER_JOB, Places


class Senders:
    """Scripts that deliver, and the order in which they get a place."""

    def __init__(self, at_once: int) -> None:
        self.places = Places(at_once)
        self.running: dict[str, AsyncExitStack] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def send(self, owner: str, of: str) -> None:
        """Ask for a place; hold it once it is there."""
        name = f"{owner}/{of}/{len(self.tasks)}"

        async def hold() -> None:
            stack = AsyncExitStack()
            await stack.enter_async_context(self.places.place(owner, of))
            self.running[name] = stack

        self.tasks[name] = asyncio.create_task(hold())
        await self._settle()

    async def end(self, name: str) -> None:
        await self.running.pop(name).aclose()
        await self._settle()

    async def _settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    async def close(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        for name in list(self.running):
            await self.end(name)


async def test_an_owner_and_a_job_hold_a_part_of_the_places() -> None:
    senders = Senders(4)
    for of in ("1", "1", "2", "3"):
        await senders.send("a", of)
    assert list(senders.running) == ["a/1/0", "a/2/2"]
    await senders.send("b", "9")
    assert "b/9/4" in senders.running
    await senders.end("a/2/2")
    assert set(senders.running) == {"a/1/0", "a/3/3", "b/9/4"}
    await senders.end("a/1/0")
    assert set(senders.running) == {"a/1/1", "a/3/3", "b/9/4"}
    await senders.close()


async def test_too_many_of_one_job_are_told_so_at_once() -> None:
    senders = Senders(4)
    for _ in range(PER_JOB):
        await senders.send("a", "1")
    with pytest.raises(TooManyRequests):
        async with senders.places.place("a", "1"):
            pass
    async with senders.places.place("a", "2"):
        pass
    await senders.close()


async def test_waits_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "WAIT_SECONDS", 0)
    senders = Places(1)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(senders.place("a", "1"))
        with pytest.raises(TooManyRequests):
            await stack.enter_async_context(senders.place("a", "1"))
        with pytest.raises(Unavailable):
            await stack.enter_async_context(senders.place("b", "2"))
    async with senders.place("b", "2"):
        pass
