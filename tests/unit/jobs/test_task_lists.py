"""Task lists of status answers: kept for one version of the rows, within bounds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from kerma_common.contracts.refs import Ref
from kerma_common.projection.router import At
from kerma_common.projection.rows.ops import Delete, Series, Update, Upsert
from kerma_jobs.api import status
from kerma_jobs.api.status import TaskLists
from kerma_jobs.read.models import JOB, TASK
from kerma_jobs.read.project import JOBS
from kerma_jobs.read.queries import JobHead, TaskRow
from kerma_tools import golden

REF = Ref("0" * 64, 1)


def head(job_id: str, version: str) -> JobHead:
    return JobHead(
        job_id=job_id,
        owner="ada",
        state="COMPLETED",
        platform="DIRECT",
        sim_type="geant4",
        engine="geant4",
        offered=True,
        input_kind="EDITOR",
        primaries=10,
        n_tasks=1,
        input_ref=REF,
        project_ref=None,
        tasks_merged=None,
        primaries_merged=None,
        partial=False,
        failure=None,
        origin="",
        cluster_name=None,
        tasks_ended_at=None,
        version=version,
        title="",
        submitted_at=datetime(2026, 1, 1, tzinfo=UTC),
        ended_at=None,
        engine_version="11.4.1",
    )


class Rows:
    """The rows of jobs with one task each, and how often they were read whole."""

    def __init__(self) -> None:
        self.jobs: dict[str, tuple[JobHead, TaskRow]] = {}
        self.whole = 0

    def put(self, job_id: str, version: str, state: str, simulated: int) -> None:
        self.jobs[job_id] = head(job_id, version), TaskRow(0, 10, state, 1, simulated)

    async def head(self, job_id: str) -> JobHead | None:
        found = self.jobs.get(job_id)
        return found[0] if found else None

    async def status(self, job_id: str) -> tuple[JobHead, list[TaskRow]] | None:
        self.whole += 1
        found = self.jobs.get(job_id)
        return (found[0], [found[1]]) if found else None


class Live:
    """Workers that report one more primary each time."""

    def __init__(self) -> None:
        self.told = 0

    def of(self, job_id: str, index: int, lease: int) -> tuple[int, float | None]:
        self.told += 1
        return self.told, None


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def lists(rows: Rows) -> TaskLists:
    stand_in: Any = rows
    return TaskLists(stand_in, Live())


async def simulated(lists: TaskLists, job_id: str = "job") -> int:
    job, shown = await lists.read(job_id, "ada")
    assert job is not None
    [task] = orjson.loads(shown)
    found: int = task["simulated_primaries"]
    return found


async def test_a_list_is_rendered_once_per_version(rows: Rows, lists: TaskLists) -> None:
    rows.put("job", "1", "PENDING", 0)
    assert [await simulated(lists) for _ in range(3)] == [0, 0, 0]
    assert rows.whole == 1
    rows.put("job", "2", "COMPLETED", 10)
    assert [await simulated(lists) for _ in range(3)] == [10, 10, 10]
    assert rows.whole == 2


async def test_running_tasks_are_never_kept(rows: Rows, lists: TaskLists) -> None:
    rows.put("job", "1", "PENDING", 0)
    await simulated(lists)
    rows.put("job", "2", "RUNNING", 0)
    assert [await simulated(lists) for _ in range(3)] == [1, 2, 3]
    assert not lists._kept


async def test_a_deleted_job_is_forgotten(rows: Rows, lists: TaskLists) -> None:
    rows.put("job", "1", "COMPLETED", 10)
    await simulated(lists)
    del rows.jobs["job"]
    assert await lists.read("job", "ada") == (None, b"")
    assert (len(lists._kept), lists._size) == (0, 0)


async def test_nothing_is_rendered_for_others(rows: Rows, lists: TaskLists) -> None:
    rows.put("job", "1", "COMPLETED", 10)
    job, shown = await lists.read("job", "eve")
    assert (job, shown, lists._kept) == (rows.jobs["job"][0], b"", {})


async def test_the_size_of_all_lists_is_bounded(
    rows: Rows, lists: TaskLists, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.put("job", "1", "COMPLETED", 10)
    await simulated(lists)
    one = lists._size
    monkeypatch.setattr(status, "KEPT_BYTES", 3 * one)
    for number in range(10):
        rows.put(f"job {number}", "1", "COMPLETED", 10)
        await simulated(lists, f"job {number}")
        await simulated(lists, "job")
    assert lists._size == 3 * one
    assert set(lists._kept) == {"job", "job 8", "job 9"}
    monkeypatch.setattr(status, "KEPT_BYTES", one - 1)
    rows.put("job", "2", "COMPLETED", 10)
    assert await simulated(lists) == 10
    assert (len(lists._kept), lists._size) == (0, 0)


AT = At("RUNNER", 41, "event", datetime(2026, 8, 1, tzinfo=UTC), "aggregate", "svc:test")


@pytest.mark.parametrize("kind", golden.kinds(), ids=lambda kind: kind.name)
def test_whatever_changes_a_task_changes_the_version_of_its_job(kind: Any) -> None:
    event: Any = golden.sample(kind).events[0].decode()
    if kind.name == "TaskFailed":
        event = replace(event, final=True)
    operations = JOBS.project(event, AT)
    tasks = [op for op in operations if op.table is TASK]
    jobs = [op for op in operations if op.table is JOB]
    if tasks and not any(isinstance(op, Delete) for op in jobs):
        # of workers the last event of a task, of clusters that of the job itself
        changed = [
            op.values.get("tasks_seq") or op.values.get("seq")
            for op in jobs
            if isinstance(op, Upsert | Update)
        ]
        assert AT.seq in changed
    for op in tasks:
        named = op.key if isinstance(op, Upsert | Series) else op.where
        assert named["job_id"] == event.job_id
