"""The jobs service over HTTP; the test plays runner and results by appending their events."""

import json

import httpx
import pytest
from sqlalchemy import func, select, text

from kerma_common.contracts.events import runner
from kerma_common.contracts.progress import progress_subject
from kerma_common.contracts.subjects import job_subject, task_set_subject, task_subject
from kerma_common.infra import Infra
from kerma_common.telemetry.traces import span
from kerma_jobs.app.submission import JOB_BYTES
from kit.inputs.projects import demo_project, submission
from kit.running.worlds.jobs_world import appears, append, as_user, fail, publish, succeed

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNKNOWN = "20260101-000000-00000000-0000-0000-0000-000000000000DIRECT"


async def test_a_job_is_there_when_its_submission_is_answered(
    jobs: tuple[httpx.AsyncClient, Infra],
) -> None:
    client, _ = jobs
    send = as_user(client)
    answer = await send("POST", "/jobs/direct", json=submission(primaries=10, tasks=3))
    assert answer.status_code == 202, answer.text
    assert set(answer.json()) == {"message", "job_id"}
    job = answer.json()["job_id"]
    for path in ("/jobs", "/jobs/direct"):
        status = (await send("GET", path, params={"job_id": job})).json()
        assert set(status) == {
            "message",
            "job_state",
            "job_tasks_status",
            "partial_results_available",
        }
        assert status["job_state"] == "PENDING"
        tasks = status["job_tasks_status"]
        assert [t["task_id"] for t in tasks] == [0, 1, 2]
        assert [t["requested_primaries"] for t in tasks] == [4, 3, 3]
        assert {t["task_state"] for t in tasks} == {"PENDING"}
    inputs = (await send("GET", "/inputs", params={"job_id": job})).json()["input"]
    assert set(inputs) == {
        "input_type",
        "input_files",
        "number_of_all_primaries",
        "input_json",
    }
    assert inputs["input_type"] == "EDITOR"
    assert inputs["number_of_all_primaries"] == 10
    assert inputs["input_json"] == demo_project(10)
    listed = (await send("GET", "/user/simulations")).json()
    assert set(listed) == {"message", "page_count", "simulations_count", "simulations"}
    assert [j["job_id"] for j in listed["simulations"]] == [job]
    # the UI merges an entry over a status answer, so they share no key but the job's id
    assert set(listed["simulations"][0]) == {
        "job_id",
        "title",
        "start_time",
        "end_time",
        "metadata",
    }
    assert listed["simulations"][0]["metadata"] == {
        "platform": "DIRECT",
        "server": "Yaptide",
        "input_type": "EDITOR",
        "sim_type": "geant4",
    }


async def test_from_running_to_completed(jobs: tuple[httpx.AsyncClient, Infra]) -> None:
    client, infra = jobs
    send = as_user(client)
    body = submission(primaries=20, tasks=2)
    job = (await send("POST", "/jobs/direct", json=body)).json()["job_id"]
    seq = await append(
        infra,
        task_subject(job, 0),
        runner.TaskStarted(job_id=job, index=0, lease=1, worker="w"),
    )
    assert await infra.positions.wait("jobs", "RUNNER", seq)
    progress = {
        "job_id": job,
        "index": 0,
        "lease": 1,
        "primaries": 7,
        "eta_seconds": 3725.0,
        "at": "2026-11-22T12:00:00Z",
    }
    # through the stream, so that the answer proves the message was processed
    await infra.nats.jetstream().publish(progress_subject(job, 0), json.dumps(progress).encode())
    status = {}
    for _ in range(200):
        status = (await send("GET", "/jobs", params={"job_id": job})).json()
        if status["job_tasks_status"][0]["simulated_primaries"]:
            break
    assert status["job_state"] == "RUNNING"
    first = status["job_tasks_status"][0]
    assert first["simulated_primaries"] == 7
    assert first["estimated_time"] == {"hours": 1, "minutes": 2, "seconds": 5}
    assert first["start_time"].endswith("GMT")
    for index in range(2):
        await succeed(infra, job, index, 10)
    await appears(infra, job, "JobMergeRequested")
    status = (await send("GET", "/jobs", params={"job_id": job})).json()
    assert status["job_state"] == "MERGING_QUEUED"
    assert {t["task_state"] for t in status["job_tasks_status"]} == {"COMPLETED"}
    assert [t["simulated_primaries"] for t in status["job_tasks_status"]] == [10, 10]
    await publish(infra, job, 2, 20, partial=False)
    await appears(infra, job, "JobCompleted")
    status = (await send("GET", "/jobs", params={"job_id": job})).json()
    assert status["job_state"] == "COMPLETED"
    assert all("end_time" in t for t in status["job_tasks_status"])
    canceled = await send("DELETE", "/jobs/direct", params={"job_id": job})
    assert (canceled.status_code, canceled.json()["job_state"]) == (200, "COMPLETED")
    gone = await send("DELETE", "/user/simulations", params={"job_id": job})
    assert gone.status_code == 200
    for method, path in (
        ("GET", "/jobs"),
        ("GET", "/inputs"),
        ("DELETE", "/jobs/direct"),
    ):
        missing = await send(method, path, params={"job_id": job})
        assert missing.status_code == 404
        assert missing.json()["message"] == "Job with provided ID does not exist"


async def test_a_partial_job_says_so(jobs: tuple[httpx.AsyncClient, Infra]) -> None:
    client, infra = jobs
    send = as_user(client)
    body = submission(primaries=20, tasks=2)
    job = (await send("POST", "/jobs/direct", json=body)).json()["job_id"]
    await succeed(infra, job, 0, 10)
    await fail(infra, job, 1)
    await appears(infra, job, "JobMergeRequested")
    await publish(infra, job, 1, 10, partial=True)
    await appears(infra, job, "JobCompleted")
    status = (await send("GET", "/jobs", params={"job_id": job})).json()
    assert status["job_state"] == "COMPLETED"
    assert "10 of 20 primaries" in status["message"]
    assert [t["task_state"] for t in status["job_tasks_status"]] == ["COMPLETED", "FAILED"]


async def test_a_job_without_success_fails_with_its_reason(
    jobs: tuple[httpx.AsyncClient, Infra],
) -> None:
    client, infra = jobs
    send = as_user(client)
    body = submission(primaries=20, tasks=2)
    job = (await send("POST", "/jobs/direct", json=body)).json()["job_id"]
    for index in range(2):
        await fail(infra, job, index)
    await appears(infra, job, "JobFailed")
    status = (await send("GET", "/jobs", params={"job_id": job})).json()
    assert status["job_state"] == "FAILED"
    assert "exit status 3" in status["message"]
    listed = (await send("GET", "/user/simulations", params={"job_state": "FAILED"})).json()
    assert [j["job_id"] for j in listed["simulations"]] == [job]


async def test_cancelling_shows_at_once_and_repeats_are_harmless(
    jobs: tuple[httpx.AsyncClient, Infra],
) -> None:
    client, infra = jobs
    send = as_user(client)
    body = submission(primaries=20, tasks=2)
    job = (await send("POST", "/jobs/direct", json=body)).json()["job_id"]
    refused = await send("DELETE", "/user/simulations", params={"job_id": job})
    assert refused.status_code == 403
    await succeed(infra, job, 0, 10)
    for _ in range(3):
        assert (await send("DELETE", "/jobs/direct", params={"job_id": job})).status_code == 200
    status = (await send("GET", "/jobs", params={"job_id": job})).json()
    assert status["job_state"] == "CANCELED"
    assert status["job_tasks_status"][1]["task_state"] == "CANCELED"


async def test_a_job_just_cancelled_is_deleted_at_once_and_its_data_with_its_last_task(
    jobs: tuple[httpx.AsyncClient, Infra],
) -> None:
    client, infra = jobs
    send = as_user(client)
    job = (await send("POST", "/jobs/direct", json=submission(primaries=20, tasks=2))).json()[
        "job_id"
    ]
    of = {"job_id": job}
    await succeed(infra, job, 0, 10)
    assert (await send("DELETE", "/jobs/direct", params=of)).status_code == 200
    for _ in range(3):
        deleted = await send("DELETE", "/user/simulations", params=of)
        assert (deleted.status_code, deleted.json()["message"]) == (200, "Job deleted")
        assert (await send("GET", "/jobs", params=of)).status_code == 404
        assert (await send("GET", "/user/simulations")).json()["simulations"] == []
    assert (await send("DELETE", "/jobs/direct", params=of)).status_code == 404
    assert (await as_user(client)("DELETE", "/user/simulations", params=of)).status_code == 404
    # its last task stops
    await append(infra, task_subject(job, 1), runner.TaskCanceled(job_id=job, index=1))
    await appears(infra, job, "JobDeleted")
    deleted = await send("DELETE", "/user/simulations", params=of)
    assert deleted.status_code == 200
    for table in ("job", "task"):
        left = select(func.count()).select_from(text(f"jobs.{table}")).where(text("job_id = :job"))
        async with infra.db.connect() as connection:
            assert await connection.scalar(left, {"job": job}) == 0


async def test_a_job_that_stores_too_much_fails_and_its_tasks_stop(
    jobs: tuple[httpx.AsyncClient, Infra],
) -> None:
    client, infra = jobs
    send = as_user(client)
    body = submission(primaries=30, tasks=3)
    job = (await send("POST", "/jobs/direct", json=body)).json()["job_id"]
    await succeed(infra, job, 0, 10, size=JOB_BYTES)
    await succeed(infra, job, 1, 10)
    await appears(infra, job, "JobLimitExceeded")
    early = (await send("GET", "/jobs", params={"job_id": job})).json()
    assert early["job_state"] == "FAILED"
    assert "KERMA_JOBS_JOB_BYTES" in early["message"]
    # as the runner does
    stopped = runner.TasksCanceled(job_id=job, tasks=((2, 3),), withdrawn=1)
    await append(infra, task_set_subject(job), stopped)
    await appears(infra, job, "JobFailed")
    status = (await send("GET", "/jobs", params={"job_id": job})).json()
    assert (status["job_state"], status["message"]) == ("FAILED", early["message"])
    tasks = [task["task_state"] for task in status["job_tasks_status"]]
    assert tasks == ["COMPLETED", "COMPLETED", "CANCELED"]
    assert (await send("DELETE", "/user/simulations", params={"job_id": job})).status_code == 200


async def test_jobs_of_others_are_not_shown(jobs: tuple[httpx.AsyncClient, Infra]) -> None:
    client, _ = jobs
    owner, other = as_user(client), as_user(client)
    job = (await owner("POST", "/jobs/direct", json=submission())).json()["job_id"]
    for method, path in (
        ("GET", "/jobs"),
        ("GET", "/inputs"),
        ("DELETE", "/jobs/direct"),
        ("DELETE", "/user/simulations"),
    ):
        assert (await other(method, path, params={"job_id": job})).status_code == 403
        assert (await owner(method, path, params={"job_id": UNKNOWN})).status_code == 404
        assert (await owner(method, path)).status_code == 400
    assert (await client.get("/jobs", params={"job_id": job})).status_code == 401


async def test_paging(jobs: tuple[httpx.AsyncClient, Infra]) -> None:
    client, _ = jobs
    send = as_user(client)
    made = [
        (await send("POST", "/jobs/direct", json=submission(title=f"n {i}"))).json()["job_id"]
        for i in range(7)
    ]
    newest_first = list(reversed(made))
    default = (await send("GET", "/user/simulations")).json()
    assert [j["job_id"] for j in default["simulations"]] == newest_first[:6]
    assert (default["page_count"], default["simulations_count"]) == (2, 7)
    params = {"page_size": 3, "page_idx": 3, "order_type": "ascend", "order_by": "start_time"}
    last = (await send("GET", "/user/simulations", params=params)).json()
    assert [j["job_id"] for j in last["simulations"]] == made[6:]
    beyond = (await send("GET", "/user/simulations", params={"page_idx": 10**9})).json()
    assert beyond["simulations"] == []
    for wrong in (
        {"page_size": "x"},
        {"order_by": "owner"},
        {"job_state": "BANANA"},
        {"job_state": ""},
        {"foo": "1"},
    ):
        answer = await send("GET", "/user/simulations", params=wrong)
        assert answer.status_code == 400
        assert set(wrong) <= set(answer.json())


async def test_a_trace_goes_on_through_what_follows(
    jobs: tuple[httpx.AsyncClient, Infra],
) -> None:
    client, infra = jobs
    send = as_user(client)
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    user = {"Authorization": "Bearer tracer", "traceparent": f"00-{trace}-{parent}-01"}
    body = submission(primaries=10, tasks=1)
    answer = await client.post("/jobs/direct", json=body, headers=user)
    job = answer.json()["job_id"]
    with span("the runner's part", f"00-{trace}-{parent}-01"):
        await succeed(infra, job, 0, 10)
    await appears(infra, job, "JobMergeRequested")
    commits = await infra.log.load(job_subject(job))
    assert [c.traceparent and c.traceparent.split("-")[1] for c in commits] == [trace, trace]
    assert (await send("GET", "/jobs", params={"job_id": job})).status_code == 403
