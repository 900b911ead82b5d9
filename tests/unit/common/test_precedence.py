"""Requests go first, and hold nothing up for long."""

from __future__ import annotations

import asyncio

import pytest

from kerma_common import precedence
from kerma_common.commands.consistency import Watermarks
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


@pytest.mark.usefixtures("clock")
async def test_a_request_does_not_hold_up_the_work_that_it_waits_for() -> None:
    found = Precedence()
    written = asyncio.Event()

    async def work() -> None:
        await found.give_way()
        written.set()

    with found.request():
        task = asyncio.create_task(work())
        await settle()
        assert not written.is_set()
        with found.waiting():
            await written.wait()
        await found.give_way()
    await task


@pytest.mark.usefixtures("clock")
async def test_work_that_a_request_waits_for_gives_way_to_other_requests() -> None:
    found = Precedence()

    async def wait() -> None:
        with found.request(), found.waiting():
            await asyncio.Event().wait()

    with found.request():
        waiting = asyncio.create_task(wait())
        work = asyncio.create_task(found.give_way())
        await settle()
        assert not work.done()
    await work
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.usefixtures("clock")
async def test_a_wait_for_a_position_is_such_a_wait() -> None:
    marks = Watermarks()

    async def project() -> None:
        await precedence.give_way()
        marks.advance(("jobs",), 1)

    with precedence.precedence().request():
        task = asyncio.create_task(project())
        assert await marks.wait(("jobs",), 1, 3600)
    await task
