"""The dispatcher while its tickets are briefly out of reach."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from kerma_common.contracts.rpc_runner import Lane, Ticket
from kerma_common.errors import Unavailable
from kerma_runner.app.dispatcher import DEEP, Dispatcher
from kerma_runner.read.open_tasks import LaneDemand, Waiting
from kerma_runner.settings import RunnerSettings

LANE = Lane("pool", "script")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class OneTask:
    """Rows of a queue with one task and one free slot."""

    async def demand(self, _now: datetime, _lease: timedelta) -> Sequence[LaneDemand]:
        return [LaneDemand(LANE, queued=1, held=0, slots=1)]

    async def waiting(
        self, _lane: Lane, _now: datetime, _room: int, out: Collection[tuple[str, int]]
    ) -> Mapping[str, Mapping[str, Sequence[Waiting]]]:
        return {} if ("job", 0) in out else {"ada": {"job": [Waiting("job", 0, 1, 0)]}}

    async def still(self, tasks: Collection[Waiting]) -> set[Waiting]:
        return set(tasks)

    async def next_due(self, _now: datetime) -> None:
        return None


class Unsteady:
    """Tickets that fail on the first call of one kind; records the calls."""

    def __init__(self, failing: str) -> None:
        self._failing: str | None = failing
        self.done: list[str] = []

    def _do(self, what: str) -> None:
        if what == self._failing:
            self._failing = None
            raise Unavailable("the bus stands still")
        self.done.append(what)

    async def open(self, _lane: Lane) -> None:
        self._do("open")

    async def clear(self, _lane: Lane) -> None:
        self._do("clear")

    async def issue(self, _lane: Lane, _ticket: Ticket, _trace: str | None) -> None:
        self._do("issue")

    async def pending(self, _lane: Lane) -> int:
        return self.done.count("issue")


@pytest.mark.parametrize("failing", ["open", "clear", "issue"])
async def test_a_lane_is_opened_and_emptied_before_its_first_ticket(failing: str) -> None:
    """The tickets of an earlier leader would add to the new ones."""
    tickets, rows = Unsteady(failing), cast("Any", OneTask())
    dispatcher = Dispatcher(rows, tickets, lambda: NOW, RunnerSettings().terms)
    with pytest.raises(Unavailable):
        await dispatcher.round()
    await dispatcher.round()
    await dispatcher.round()
    assert [what for what in tickets.done if what != "open"] == ["clear", "issue"]
    assert tickets.done[0] == "open"


class Eager:
    """Rows of an endless job on ``SLOTS`` slots; ``take`` uses up the oldest tickets."""

    SLOTS = 4

    def __init__(self) -> None:
        self.out: list[Waiting] = []
        self._next = 0

    def take(self, tickets: int) -> None:
        del self.out[:tickets]

    async def demand(self, _now: datetime, _lease: timedelta) -> Sequence[LaneDemand]:
        return [LaneDemand(LANE, queued=1000, held=0, slots=self.SLOTS)]

    async def waiting(
        self, _lane: Lane, _now: datetime, room: int, _out: Collection[tuple[str, int]]
    ) -> Mapping[str, Mapping[str, Sequence[Waiting]]]:
        fresh = [Waiting("job", self._next + n, 1, 0) for n in range(room)]
        self._next += room
        self.out += fresh
        return {"ada": {"job": fresh}}

    async def still(self, tasks: Collection[Waiting]) -> set[Waiting]:
        return set(tasks) & set(self.out)

    async def next_due(self, _now: datetime) -> None:
        return None


async def sizes(rows: Eager, used: Sequence[int], apart: timedelta) -> list[int]:
    """Return how many tickets are out after each of the rounds, with uses before them."""
    now = NOW
    dispatcher = Dispatcher(cast("Any", rows), Unsteady(""), lambda: now, RunnerSettings().terms)
    found = []
    for taken in used:
        rows.take(taken)
        await dispatcher.round()
        found.append(len(rows.out))
        now += apart
    return found


async def test_tickets_last_while_workers_use_them_faster_than_rounds_come() -> None:
    apart = timedelta(seconds=0.1)
    most = Eager.SLOTS + DEEP * Eager.SLOTS
    found = await sizes(Eager(), [0, 8, 8, 8, 8, 8, *[0] * 3], apart)
    assert found[:6] == [8, 12, 20, 28, most, most]
    assert found[6:] == [most] * 3


async def test_rounds_far_apart_show_no_pace() -> None:
    assert await sizes(Eager(), [0, 8, 8, 8], timedelta(seconds=2)) == [8] * 4


async def test_a_queue_of_tickets_shrinks_once_workers_use_them_slowly() -> None:
    rows, apart = Eager(), timedelta(seconds=0.1)
    used = [0, *[8] * 6, *[1] * 60]
    assert (await sizes(rows, used, apart))[-1] <= 2 * Eager.SLOTS + 1
