"""The jobs service over HTTP; the test plays runner and results by appending their events."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from kerma_common.contracts import results, runner
from kerma_common.contracts.envelope import Meta, make_commit
from kerma_common.contracts.refs import Ref
from kerma_common.contracts.subjects import (
    Subject,
    job_subject,
    result_set_subject,
    task_subject,
)
from kerma_common.contracts.telemetry import progress_subject
from kerma_common.errors import Forbidden
from kerma_common.http.policy import Principal
from kerma_common.infra import Infra
from kerma_common.telemetry.traces import span
from kerma_jobs.main import build
from kit.projects import demo_project, submission
from kit.services import prepare, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNKNOWN = "20260101-000000-00000000-0000-0000-0000-000000000000DIRECT"
REF = Ref("0" * 64, 1)


class NamedUsers:
    """A verifier that takes a user's name as the token."""

    async def __call__(self, token: str) -> Principal:
        if token == "void":
            raise Forbidden("void token")
        return Principal(token, f"session-{token}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def jobs(
    nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[httpx.AsyncClient, Infra]]:
    await prepare(nats_url)
    async with running(
        "jobs",
        "kerma_jobs",
        build,
        nats_url=nats_url,
        postgres_url=postgres_url,
        blobs=tmp_path_factory.mktemp("blobs"),
        verifier=NamedUsers(),
    ) as found:
        yield found


def as_user(client: httpx.AsyncClient) -> Callable[..., Any]:
    """Requests of a user of its own."""
    user = f"u{uuid4().hex[:8]}"

    async def send(method: str, path: str, **how: Any) -> httpx.Response:
        return await client.request(
            method, path, headers={"Authorization": f"Bearer {user}"}, **how
        )

    return send


async def append(infra: Infra, subject: Subject, event: object, **after: int) -> int:
    """Add an event of another service to the log."""
    history = await infra.log.load(subject)
    last = history[-1].seq if history else 0
    meta = Meta("svc:test", "Test", "test", subject.context, after=after)
    commit = make_commit(
        str(uuid4()),
        subject.aggregate,
        subject.id,
        len(history) + 1,
        meta,
        (event,),
        datetime.now(UTC),
    )
    return (await infra.log.append(subject, last, commit)).seq


async def succeed(infra: Infra, job: str, index: int, primaries: int) -> None:
    started = runner.TaskStarted(job_id=job, index=index, lease=1, worker="w")
    await append(infra, task_subject(job, index), started)
    ended = runner.TaskSucceeded(
        job_id=job,
        index=index,
        lease=1,
        attempt=1,
        output_ref=REF,
        log_ref=None,
        primaries=primaries,
        cpu_seconds=1.0,
    )
    await append(infra, task_subject(job, index), ended)


async def fail(infra: Infra, job: str, index: int) -> None:
    ended = runner.TaskFailed(
        job_id=job,
        index=index,
        lease=1,
        attempt=3,
        code="EXIT",
        message="exit status 3",
        log_ref=None,
        final=True,
    )
    await append(infra, task_subject(job, index), ended)


async def publish(infra: Infra, job: str, tasks: int, primaries: int, *, partial: bool) -> None:
    published = results.ResultSetPublished(
        job_id=job, tasks_merged=tasks, primaries_merged=primaries, partial=partial
    )
    await append(infra, result_set_subject(job), published)


async def appears(infra: Infra, job: str, event: str) -> None:
    """Wait until the job's own service has recorded an event of this type."""
    async with infra.log.follow("JOBS", 0) as batches:
        async for batch in batches:
            for record in batch:
                if record.commit.aggregate_id == job and event in record.commit.types:
                    assert await infra.positions.wait("jobs", "JOBS", record.seq, 5.0)
                    return


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
        assert set(status) == {"message", "job_state", "job_tasks_status"}
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
    # through the stream, so that the answer proves that it was taken in
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
        ("DELETE", "/user/simulations"),
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
    # its last task is still being stopped
    early = await send("DELETE", "/user/simulations", params={"job_id": job})
    assert early.status_code == 403
    await append(infra, task_subject(job, 1), runner.TaskCanceled(job_id=job, index=1))
    await appears(infra, job, "JobCanceled")
    gone = await send("DELETE", "/user/simulations", params={"job_id": job})
    assert gone.status_code == 200


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"sim_type": "nosuch"}, "sim_type"),
        ({"sim_type": 5}, "sim_type"),
        ({"ntasks": 0}, "ntasks"),
        ({"ntasks": 10**9}, "ntasks"),
        ({"ntasks": "8"}, "ntasks"),
        ({"ntasks": None}, "ntasks"),
        ({"ntasks": True}, "ntasks"),
        ({"title": None}, "title"),
        ({"title": "a\u0000b"}, "title"),
        ({"title": "x" * 10_000}, "title"),
        ({"input_type": "EDITOR"}, "input_type"),
        ({"input_json": None}, "input_json"),
        ({"input_json": []}, "input_json"),
        ({"input_json": {"beam": 5}}, "input_json."),
        ({"input_type": "files"}, "input_files"),
        ({"input_type": "files", "input_files": {"../x": "y"}}, "input_files"),
        ({"input_type": "files", "input_files": {"/etc/x": "y"}}, "input_files"),
        ({"input_type": "files", "input_files": {"": "y"}}, "input_files"),
        ({"input_type": "files", "input_files": {"a\u0000.mac": "y"}}, "input_files"),
        ({"input_type": "files", "input_files": {"run.mac": 5}}, "input_files"),
        ({"input_type": "files", "input_files": {"run.mac": "/control/shell ls"}}, "input_files"),
    ],
)
async def test_malformed_submissions_are_named_and_leave_nothing(
    jobs: tuple[httpx.AsyncClient, Infra], change: dict[str, Any], field: str
) -> None:
    client, infra = jobs
    send = as_user(client)
    before = (await infra.log.state("JOBS")).last
    answer = await send("POST", "/jobs/direct", json=submission(**change))
    assert answer.status_code == 400, answer.text
    assert any(key.startswith(field) for key in answer.json()), answer.text
    assert (await infra.log.state("JOBS")).last == before


@pytest.mark.parametrize("primaries", [-1, 0, 10**30, 1.5, "many", None])
async def test_impossible_primaries_are_named(
    jobs: tuple[httpx.AsyncClient, Infra], primaries: object
) -> None:
    client, _ = jobs
    project = demo_project()
    project["beam"]["numberOfParticles"] = primaries
    body = {**submission(), "input_json": project}
    answer = await as_user(client)("POST", "/jobs/direct", json=body)
    assert answer.status_code == 400
    if not (isinstance(primaries, int) and primaries > 2**64):  # not even JSON for our parser
        assert "input_json.beam.numberOfParticles" in answer.json()


async def test_hostile_bodies(jobs: tuple[httpx.AsyncClient, Infra]) -> None:
    client, _ = jobs
    send = as_user(client)
    nested = b'{"a":' * 500 + b"1" + b"}" * 500
    for body, status in (
        (b"", 400),
        (b"{}", 400),
        (b"[]", 400),
        (b"not json", 400),
        (nested, 400),
        (b'{"x":"' + b"y" * 50_000_000 + b'"}', 413),
    ):
        answer = await send("POST", "/jobs/direct", content=body)
        assert answer.status_code == status
        assert isinstance(answer.json()["message"], str)


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
