"""Turns of merges: bounded, and fair over owners."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from kerma_results.app.turns import Turns


class Queue:
    """Merges that wait for turns, and the order in which they got them."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.order: list[str] = []
        self.running: list[tuple[str, AsyncExitStack]] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def ask(self, *owners: str) -> None:
        for owner in owners:
            self.tasks.append(asyncio.create_task(self._enter(owner)))
            await asyncio.sleep(0)

    async def end_one(self) -> None:
        _, stack = self.running.pop(0)
        await stack.aclose()
        await asyncio.sleep(0)

    async def _enter(self, owner: str) -> None:
        stack = AsyncExitStack()
        await stack.enter_async_context(self.turns.turn(owner))
        self.order.append(owner)
        self.running.append((owner, stack))


async def test_owners_alternate_however_many_merges_one_has() -> None:
    queue = Queue(Turns(1, 1))
    await queue.ask("a", "a", "a", "a", "b", "c", "b")
    while queue.running:
        await queue.end_one()
    assert queue.order == ["a", "a", "b", "c", "a", "b", "a"]


async def test_turns_are_limited_in_all_and_per_owner() -> None:
    turns = Turns(3, 2)
    queue = Queue(turns)
    await queue.ask("a", "a", "a", "a")
    assert queue.order == ["a", "a"]
    assert (turns.free("a"), turns.free("b")) == (False, True)
    await queue.ask("b", "c")
    assert queue.order == ["a", "a", "b"]
    assert not turns.free("c")
    await queue.end_one()
    assert queue.order == ["a", "a", "b", "a"]
    await queue.end_one()
    assert queue.order == ["a", "a", "b", "a", "c"]
    while queue.running:
        await queue.end_one()
    assert turns.free("a")


async def test_a_merge_that_is_cancelled_while_it_waits_or_gets_its_turn_leaves_none() -> None:
    queue = Queue(Turns(1, 1))
    await queue.ask("a", "b", "c", "d")
    queue.tasks[1].cancel()
    await asyncio.sleep(0)
    _, stack = queue.running.pop()
    await stack.aclose()
    queue.tasks[2].cancel()  # it has the turn, and has not noticed
    await asyncio.gather(*queue.tasks, return_exceptions=True)
    assert queue.order == ["a", "d"]
    await queue.end_one()
    assert queue.turns.free("a")
