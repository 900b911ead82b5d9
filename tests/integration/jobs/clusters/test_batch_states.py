"""The state of jobs on a cluster: what each report makes of it."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from kerma_common.contracts.events import results
from kerma_common.contracts.subjects import result_set_subject
from kerma_common.infra import Infra
from kit.running.worlds.cluster import Script
from kit.running.worlds.jobs_world import appears, append, publish

pytestmark = pytest.mark.asyncio(loop_scope="module")
World = tuple[httpx.AsyncClient, Infra]


async def tell(script: Script, *states: str) -> None:
    for number, state in enumerate(states, start=1):
        await script.said(number, task_state=state)


async def same_everywhere(script: Script, *expected: str) -> None:
    """Require the same answer of all three paths: there is one algorithm."""
    for path in ("/jobs", "/jobs/direct", "/jobs/batch"):
        found = await script.status(path)
        shown = [found["job_state"], *(t["task_state"] for t in found["job_tasks_status"])]
        assert shown == list(expected), path


async def finish(script: Script, tasks: int = 2) -> None:
    await publish(script.infra, script.job, tasks, 10 * tasks, partial=False)
    await appears(script.infra, script.job, "JobCompleted")


async def test_merging_running_all_failed(script: Script) -> None:
    """Tasks that report after the merge has begun change nothing: the job fails when told."""
    await script.report(job_state="MERGING_RUNNING")
    await tell(script, "FAILED", "FAILED")
    await same_everywhere(script, "MERGING_RUNNING", "COMPLETED", "COMPLETED")
    await script.report(job_state="FAILED")
    await same_everywhere(script, "FAILED", "COMPLETED", "COMPLETED")


async def test_merging_queued_one_running(script: Script) -> None:
    await tell(script, "RUNNING")
    await script.report(job_state="MERGING_QUEUED")
    await same_everywhere(script, "MERGING_QUEUED", "COMPLETED", "COMPLETED")
    await tell(script, "RUNNING", "RUNNING")
    await same_everywhere(script, "MERGING_QUEUED", "COMPLETED", "COMPLETED")


async def test_unknown_all_pending(script: Script) -> None:
    """No job is ever UNKNOWN: it exists with its tasks, or not at all."""
    await script.report(job_state="UNKNOWN")
    await same_everywhere(script, "PENDING", "PENDING", "PENDING")


async def test_canceled_all_failed(script: Script) -> None:
    await tell(script, "FAILED")
    await script.send("DELETE", "/jobs/batch", params={"job_id": script.job})
    assert (await script.task(2, task_state="FAILED")).status_code == 400
    await same_everywhere(script, "CANCELED", "FAILED", "CANCELED")


async def test_pending_one_failed_one_completed(script: Script) -> None:
    """The cluster merges what there is, so the job waits for its results."""
    await tell(script, "FAILED", "COMPLETED")
    await same_everywhere(script, "MERGING_QUEUED", "FAILED", "COMPLETED")


async def test_running_all_completed(script: Script) -> None:
    await tell(script, "COMPLETED", "COMPLETED")
    await same_everywhere(script, "MERGING_QUEUED", "COMPLETED", "COMPLETED")


async def test_all_tasks_failed(script: Script) -> None:
    await tell(script, "FAILED", "FAILED")
    await same_everywhere(script, "FAILED", "FAILED", "FAILED")
    assert "2 of 2 tasks failed on the cluster" in (await script.status())["message"]


async def test_running_only_goes_forward(script: Script) -> None:
    await script.report(job_state="RUNNING")
    await same_everywhere(script, "RUNNING", "PENDING", "PENDING")
    await script.report(job_state="PENDING")
    await same_everywhere(script, "RUNNING", "PENDING", "PENDING")
    await script.report(job_state="MERGING_RUNNING")
    for earlier in ("MERGING_QUEUED", "RUNNING", "PENDING"):
        await script.report(job_state=earlier)
    await same_everywhere(script, "MERGING_RUNNING", "COMPLETED", "COMPLETED")


async def test_completed_is_reported_before_the_results(script: Script) -> None:
    """COMPLETED means that everything can be read, whatever a script says."""
    await script.report(job_state="COMPLETED")
    await same_everywhere(script, "MERGING_RUNNING", "COMPLETED", "COMPLETED")
    await finish(script)
    await same_everywhere(script, "COMPLETED", "COMPLETED", "COMPLETED")


async def test_results_of_tasks_that_never_reported(script: Script) -> None:
    """They count as complete, as their primaries do in the results of the job."""
    await script.said(2, task_state="RUNNING", simulated_primaries=4)
    await script.report(job_state="MERGING_RUNNING")
    await same_everywhere(script, "MERGING_RUNNING", "COMPLETED", "COMPLETED")
    merging = (await script.status())["job_tasks_status"]
    assert [task["simulated_primaries"] for task in merging] == [10, 10]
    await finish(script)
    await same_everywhere(script, "COMPLETED", "COMPLETED", "COMPLETED")
    for task in (await script.status())["job_tasks_status"]:
        assert task["simulated_primaries"] == task["requested_primaries"] == 10
        assert task["start_time"]
        assert task["end_time"]


@pytest.mark.parametrize("end", ["COMPLETED", "FAILED"])
async def test_terminal_states_are_final_and_reports_are_accepted(script: Script, end: str) -> None:
    if end == "COMPLETED":
        await finish(script)
    else:
        await script.report(job_state="FAILED")
    before = await script.status()
    for state in ("RUNNING", "MERGING_RUNNING", "FAILED", "COMPLETED", "CANCELED"):
        assert (await script.report(job_state=state)).status_code == 202
        await script.said(1, task_state="RUNNING", simulated_primaries=9)
    assert await script.status() == before
    again = await script.send("DELETE", "/jobs/batch", params={"job_id": script.job})
    assert (again.status_code, again.json()["job_state"]) == (200, end)


async def test_the_cluster_cancels(script: Script) -> None:
    await tell(script, "COMPLETED")
    for _ in range(2):
        assert (await script.report(job_state="CANCELED")).status_code == 202
    await same_everywhere(script, "CANCELED", "COMPLETED", "CANCELED")
    assert (await script.events()).count("JobCanceled") == 1


async def test_results_that_cannot_be_read_fail_the_job(script: Script) -> None:
    failed = results.ResultSetFailed(job_id=script.job, code="X", message="broken")
    await append(script.infra, result_set_subject(script.job), failed)
    await appears(script.infra, script.job, "JobFailed")
    assert (await script.states())[0] == "FAILED"


async def test_progress_is_forgotten_with_its_job(script: Script) -> None:
    await script.said(1, simulated_primaries=5)
    for path in ("/jobs/batch", "/user/simulations"):
        await script.send("DELETE", path, params={"job_id": script.job})

    async def rows() -> int:
        async with script.infra.writers.lend() as connection:
            found = await connection.execute(
                "SELECT count(*) FROM jobs_process.task_progress WHERE job_id = %s", (script.job,)
            )
            row = await found.fetchone()
            assert row is not None
            return int(row[0])

    async with asyncio.timeout(10):
        while await rows():
            await asyncio.sleep(0.05)
