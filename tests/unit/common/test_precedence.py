"""Requests go first, and hold nothing up for long."""

from __future__ import annotations

import asyncio

import pytest

from kerma_common import precedence
from kerma_common.precedence import Precedence


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(precedence, "time", found)
    # Only the test ends a wait.
    monkeypatch.setattr(precedence, "PATIENCE_SECONDS", 3600)
    return found


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.usefixtures("clock")
async def test_work_waits_until_the_last_young_request_is_answered() -> None:
    found = Precedence()
    with found.request():
        with found.request():
            work = asyncio.create_task(found.give_way())
            await settle()
        await settle()
        assert not work.done()
    await settle()
    assert work.done()


async def test_nothing_waits_for_a_request_that_takes_long(clock: Clock) -> None:
    found = Precedence()
    with found.request():
        clock.now += 2 * precedence.YOUNG_SECONDS
        await found.give_way()
        with found.request():
            work = asyncio.create_task(found.give_way())
            await settle()
            assert not work.done()
        await settle()
        assert work.done()


async def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precedence, "PATIENCE_SECONDS", 0)
    monkeypatch.setattr(precedence, "YOUNG_SECONDS", 3600)
    found = Precedence()
    with found.request():
        await found.give_way()


async def test_without_requests_others_have_a_turn() -> None:
    found, turns = Precedence(), []

    async def other() -> None:
        turns.append("other")

    task = asyncio.create_task(other())
    await found.give_way()
    assert turns == ["other"]
    await task
