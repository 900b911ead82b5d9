"""Append with optimistic concurrency, on every adapter."""

from __future__ import annotations

import asyncio

import pytest

from kerma_common.errors import ConcurrencyConflict
from kerma_common.eventlog.port import Appended, EventLog
from kit.events.commits import commit, fresh_subject, write


async def test_first_commit_gets_a_place(log: EventLog) -> None:
    subject = fresh_subject()
    appended = await log.append(subject, 0, commit(subject))
    assert appended == Appended("RUNNER", await log.last_seq(subject))
    assert appended.seq > 0


async def test_an_aggregate_nobody_wrote_to_has_no_place(log: EventLog) -> None:
    assert await log.last_seq(fresh_subject()) == 0


async def test_the_same_commit_again_has_the_same_place(log: EventLog) -> None:
    subject = fresh_subject()
    made = commit(subject)
    first = await log.append(subject, 0, made)
    again = await log.append(subject, 0, made)
    assert (again.seq, again.duplicate) == (first.seq, True)
    assert len(await log.load(subject)) == 1


@pytest.mark.parametrize("offset", [-1, 1], ids=["behind", "ahead"])
async def test_another_expectation_is_a_conflict(log: EventLog, offset: int) -> None:
    subject = fresh_subject()
    [(_, first)] = await write(log, subject, 1)
    with pytest.raises(ConcurrencyConflict):
        await log.append(subject, first.seq + offset, commit(subject, 2))
    assert len(await log.load(subject)) == 1


async def test_an_aggregate_that_exists_cannot_be_new(log: EventLog) -> None:
    subject = fresh_subject()
    await write(log, subject, 1)
    with pytest.raises(ConcurrencyConflict):
        await log.append(subject, 0, commit(subject))


async def test_own_commit_is_recognised_behind_later_ones(log: EventLog) -> None:
    subject = fresh_subject()
    done = await write(log, subject, 4)
    for place, (made, appended) in enumerate(done):
        expected = done[place - 1][1].seq if place else 0
        again = await log.append(subject, expected, made)
        assert (again.seq, again.duplicate) == (appended.seq, True)
        with pytest.raises(ConcurrencyConflict):
            await log.append(subject, expected, commit(subject, place + 1))
    assert [r.commit for r in await log.load(subject)] == [made for made, _ in done]


async def test_of_fifty_racing_writers_one_wins(log: EventLog) -> None:
    subject = fresh_subject()
    [(_, first)] = await write(log, subject, 1)
    racing = [commit(subject, 2) for _ in range(50)]
    outcomes = await asyncio.gather(
        *(log.append(subject, first.seq, made) for made in racing), return_exceptions=True
    )
    winners = [o for o in outcomes if isinstance(o, Appended)]
    assert len(winners) == 1
    assert sum(isinstance(o, ConcurrencyConflict) for o in outcomes) == 49
    history = await log.load(subject)
    assert [r.seq for r in history] == [first.seq, winners[0].seq]
    assert history[1].commit == racing[outcomes.index(winners[0])]


async def test_aggregates_do_not_disturb_each_other(log: EventLog) -> None:
    subjects = [fresh_subject() for _ in range(64)]
    await asyncio.gather(*(write(log, subject, 3) for subject in subjects))
    for subject in subjects:
        assert [r.commit.first_version for r in await log.load(subject)] == [1, 2, 3]


async def test_a_commit_above_the_size_limit_is_refused(log: EventLog) -> None:
    subject = fresh_subject()
    with pytest.raises(ValueError, match="exceeds"):
        await log.append(subject, 0, commit(subject, size=300_000))
    assert await log.last_seq(subject) == 0


async def test_a_commit_just_below_the_size_limit_is_stored(log: EventLog) -> None:
    subject = fresh_subject()
    await log.append(subject, 0, commit(subject, size=261_000))
    assert len(await log.load(subject)) == 1
