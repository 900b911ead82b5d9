"""Group commit: order, failures, cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from kerma_common.errors import Unavailable
from kerma_jobs.app.grouping import Grouped


@dataclass
class Store:
    """A step that waits until it may go on, and remembers its groups."""

    groups: list[list[int]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    fault: Exception | None = None

    async def step(self, items: Sequence[int]) -> Sequence[int]:
        self.groups.append(list(items))
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        return [item * 10 for item in items]


async def begun(grouped: Grouped[int, int], *items: int) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(grouped.do(item)) for item in items]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_who_comes_during_a_step_is_in_the_next() -> None:
    store = Store()
    grouped = Grouped[int, int](store.step)
    tasks = await begun(grouped, 1, 2, 3)
    assert store.groups == [[1]]
    store.gate.set()
    assert await asyncio.gather(*tasks) == [10, 20, 30]
    assert store.groups == [[1], [2, 3]]
    assert grouped.idle


async def test_groups_are_bounded() -> None:
    store = Store()
    grouped = Grouped[int, int](store.step, most=2)
    tasks = await begun(grouped, *range(6))
    store.gate.set()
    assert await asyncio.gather(*tasks) == [0, 10, 20, 30, 40, 50]
    assert store.groups == [[0], [1, 2], [3, 4], [5]]


async def test_heavy_items_go_alone() -> None:
    store = Store()
    grouped = Grouped[int, int](store.step, most=5, weigh=lambda item: item)
    tasks = await begun(grouped, 1, 9, 2, 3, 1)
    store.gate.set()
    await asyncio.gather(*tasks)
    assert store.groups == [[1], [9], [2, 3], [1]]


async def test_a_failure_is_that_of_its_group_only() -> None:
    store = Store()
    grouped = Grouped[int, int](store.step)
    tasks = await begun(grouped, 1)
    store.fault = ValueError("x")
    tasks += await begun(grouped, 2, 3)
    store.gate.set()
    assert all(
        isinstance(found, ValueError)
        for found in await asyncio.gather(*tasks, return_exceptions=True)
    )
    store.fault = None
    assert await grouped.do(4) == 40


async def test_a_caller_who_leaves_takes_its_item_along_until_its_step_begins() -> None:
    store = Store()
    grouped = Grouped[int, int](store.step)
    tasks = await begun(grouped, 1, 2, 3)
    tasks[1].cancel()
    with suppress(asyncio.CancelledError):
        await tasks[1]
    store.gate.set()
    assert await tasks[2] == 30
    assert store.groups == [[1], [3]]


async def test_when_the_one_who_works_leaves_the_others_may_try_again() -> None:
    store = Store()
    grouped = Grouped[int, int](store.step)
    tasks = await begun(grouped, 1, 2, 3)
    tasks[0].cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    assert store.groups == [[1], [2, 3]]
    tasks += await begun(grouped, 4)
    tasks[1].cancel()  # works now, for 3 too
    with pytest.raises(Unavailable):
        await tasks[2]
    store.gate.set()
    assert await tasks[3] == 40
    assert grouped.idle


async def test_who_leaves_when_it_is_to_work_hands_over() -> None:
    store = Store()
    grouped = Grouped[int, int](store.step)
    store.gate.set()
    first, second, third = [asyncio.create_task(grouped.do(item)) for item in (1, 2, 3)]
    await first
    second.cancel()
    assert await third == 30
    with suppress(asyncio.CancelledError):
        await second
    assert grouped.idle
