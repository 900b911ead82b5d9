"""The story of a job: complete, causes first, readable."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from kerma_common.admin.story import in_causal_order, lines, story
from kerma_common.contracts.cloudevents import to_cloudevent
from kerma_common.contracts.envelope import Meta, Recorded, make_commit
from kerma_common.contracts.events.jobs import JobDeleted, JobMergeRequested
from kerma_common.contracts.events.results import ResultSetPublished
from kerma_common.contracts.events.runner import TaskCanceled
from kerma_common.contracts.subjects import Subject, job_subject, result_set_subject, task_subject
from kerma_common.eventlog.memory import MemoryLog

JOB = "20260801-101500-0c6f3a52-5d1e-4b7a-9a55-3f1d7a1c2b4eDIRECT"
OTHER = "20260801-101500-0c6f3a52-5d1e-4b7a-9a55-3f1d7a1c2b4fDIRECT"
START = datetime(2026, 8, 1, 10, 15, tzinfo=UTC)


class Teller:
    """Writer of commits with ids c1, c2, …, each a second after the previous one."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self._count = itertools.count(1)

    async def tell(
        self, subject: Subject, event: object, cause: str | None = None, **clock: float
    ) -> str:
        n = next(self._count)
        history = await self.log.load(subject)
        meta = Meta("user:u1", "Command", "story", subject.context, cause)
        now = START + timedelta(seconds=n, **clock)
        commit = make_commit(
            f"c{n}", subject.aggregate, subject.id, len(history) + 1, meta, (event,), now
        )
        await self.log.append(subject, await self.log.last_seq(subject), commit)
        return f"c{n}.0"


@pytest.fixture
async def teller() -> Teller:
    made = Teller()
    merge = JobMergeRequested(job_id=JOB, owner="u1", n_tasks=2, succeeded=2, partial=False)
    deleted = JobDeleted(job_id=JOB, by="u1")
    published = ResultSetPublished(job_id=JOB, tasks_merged=2, primaries_merged=10, partial=False)
    for index in (0, 1):
        await made.tell(task_subject(JOB, index), TaskCanceled(job_id=JOB, index=index))
    requested = await made.tell(job_subject(JOB), merge)
    # The clock of the results service is an hour slow.
    await made.tell(result_set_subject(JOB), published, requested, hours=-1)
    await made.tell(job_subject(JOB), deleted, "c4.0")
    await made.tell(task_subject(OTHER, 0), TaskCanceled(job_id=OTHER, index=0))
    await made.tell(job_subject(OTHER), replace(deleted, job_id=OTHER))
    return made


async def test_all_of_the_job_and_nothing_else(teller: Teller) -> None:
    told = await story(teller.log, JOB)
    assert [(t.recorded.stream, t.event.type) for t in told] == [
        ("RUNNER", "TaskCanceled"),
        ("RUNNER", "TaskCanceled"),
        ("JOBS", "JobMergeRequested"),
        ("RESULTS", "ResultSetPublished"),
        ("JOBS", "JobDeleted"),
    ]
    assert [t.cause for t in told[2:]] == [None, "JobMergeRequested", "ResultSetPublished"]
    assert await story(teller.log, "20260801-101500-unknown") == ()


async def test_order_does_not_depend_on_how_it_was_found(teller: Teller) -> None:
    found = [t.recorded for t in await story(teller.log, JOB)]
    for seed in range(20):
        shuffled = random.Random(seed).sample(found, len(found))
        assert in_causal_order(shuffled) == found


async def test_lines_are_for_people(teller: Teller) -> None:
    shown = lines(await story(teller.log, JOB))
    assert len(shown) == 5
    assert shown[0].split()[:6] == ["+0.000", "RUNNER:1", "task", "0", "TaskCanceled", "by"]
    assert "after JobMergeRequested" in shown[3]
    assert "primaries_merged=10" in shown[3]
    assert lines(()) == []


async def test_cloudevent_form_is_fixed() -> None:
    meta = Meta("user:u1", "DeleteJob", "story", "jobs", "c0.1")
    commit = make_commit("c1", "job", JOB, 4, meta, (JobDeleted(job_id=JOB, by="u1"),), START)
    recorded = Recorded("JOBS", 12, str(job_subject(JOB)), commit, "00-aa-bb-01")
    made = to_cloudevent(recorded, commit.events[0])
    assert orjson.loads(orjson.dumps(made)) == {
        "specversion": "1.0",
        "id": "c1.0",
        "source": "/kerma/jobs",
        "type": "kerma.jobs.JobDeleted.v1",
        "subject": JOB,
        "time": "2026-08-01T10:15:00Z",
        "datacontenttype": "application/json",
        "sequence": "JOBS:12",
        "actor": "user:u1",
        "correlation": "story",
        "traceparent": "00-aa-bb-01",
        "causation": "c0.1",
        "data": {"job_id": JOB, "by": "u1", "owner": ""},
    }
