"""Loading aggregates and reading patterns, on every adapter."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from kerma_common.contracts.envelope import Recorded
from kerma_common.contracts.subjects import (
    job_patterns,
    job_subject,
    result_set_subject,
    task_subject,
)
from kerma_common.eventlog.jetstream import JetStreamLog
from kerma_common.eventlog.memory import MemoryLog
from kerma_common.eventlog.port import EventLog
from kerma_common.nats import connection
from kit.events.commits import commit, fresh_subject, write


@pytest.mark.parametrize("n", [0, 1, 2, 20, 300])
async def test_all_commits_come_back_in_order(log: EventLog, n: int) -> None:
    subject = fresh_subject()
    done = await write(log, subject, n)
    history = await log.load(subject)
    assert [r.commit for r in history] == [made for made, _ in done]
    assert [r.seq for r in history] == [appended.seq for _, appended in done]
    assert {r.subject for r in history} <= {str(subject)}


async def test_events_of_one_commit_stay_together(log: EventLog) -> None:
    subject = fresh_subject()
    first = await log.append(subject, 0, commit(subject, 1, events=3))
    await log.append(subject, first.seq, commit(subject, 4, events=2))
    assert [len(r.commit.events) for r in await log.load(subject)] == [3, 2]


async def test_large_histories_come_back_whole(log: EventLog) -> None:
    subject, expected = fresh_subject(), 0
    for version in range(1, 31):
        made = commit(subject, version, size=200_000)
        expected = (await log.append(subject, expected, made)).seq
    history = await log.load(subject)
    assert [r.commit.first_version for r in history] == list(range(1, 31))


async def test_the_ordered_read_agrees_when_direct_reads_give_too_little(url: str) -> None:
    class StaleReplica(JetStreamLog):
        async def _direct_get(self, stream: str, pattern: str, last: int) -> list[Recorded]:
            return (await super()._direct_get(stream, pattern, last))[:-1]

    subject = fresh_subject()
    async with connection(url, name="test") as nc:
        log = StaleReplica(nc)
        done = await write(log, subject, 20)
        assert [r.commit for r in await log.load(subject)] == [made for made, _ in done]


async def test_trace_context_is_kept_beside_the_commit(url: str) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    subject = fresh_subject()
    async with connection(url, name="test") as nc:
        log = JetStreamLog(nc, traceparent=lambda: trace)
        await write(log, subject, 2)
        assert [r.traceparent for r in await log.load(subject)] == [trace, trace]


async def test_the_patterns_of_a_job_find_all_its_aggregates(log: MemoryLog | JetStreamLog) -> None:
    job = str(uuid4())
    tasks = [task_subject(job, n) for n in range(5)]
    subjects = [job_subject(job), *tasks, result_set_subject(job)]
    for subject in subjects:
        await write(log, subject, 2)
        await write(log, replace(subject, id=str(uuid4())), 1)
    found = [r for place in job_patterns(job) for r in await log.history(*place)]
    assert [r.subject for r in found] == [str(s) for s in subjects for _ in range(2)]
