"""``/v1/jobs`` over HTTP; the test plays runner and results by appending their events."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from kerma_common.contracts.events import runner
from kerma_common.contracts.subjects import task_subject
from kerma_common.infra import Infra
from kit.inputs.projects import demo_project, submission
from kit.running.worlds.jobs_world import appears, append, as_user, publish, succeed

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNKNOWN = "20260101-000000-00000000-0000-0000-0000-000000000000DIRECT"
PROBLEM = "application/problem+json"


def new_job(title: str = "", *, tasks: int = 1, primaries: int = 10) -> dict[str, Any]:
    project = demo_project(primaries)
    return {"engine": "geant4", "tasks": tasks, "title": title, "project": project}


def faults(answer: httpx.Response) -> dict[str, str]:
    assert (answer.status_code, answer.headers["content-type"]) == (400, PROBLEM)
    body = answer.json()
    assert body["type"] == "/v1/problems#invalid-request"
    assert body["status"] == 400
    return {fault["field"]: fault["detail"] for fault in body["errors"]}


async def test_a_job_is_there_when_its_submission_is_answered(
    jobs: tuple[httpx.AsyncClient, Infra],
) -> None:
    send = as_user(jobs[0])
    answer = await send("POST", "/v1/jobs", json=new_job("water", tasks=3))
    assert answer.status_code == 201, answer.text
    job = answer.json()["id"]
    assert answer.headers["location"] == f"/v1/jobs/{job}"
    shown = (await send("GET", answer.headers["location"])).json()
    assert (shown["id"], shown["title"], shown["state"]) == (job, "water", "PENDING")
    assert (shown["engine"], shown["engine_asked_for"]) == ("geant4", "geant4")
    assert shown["submitted_at"].endswith("Z")
    assert shown["primaries"] == {"requested": 10, "simulated": 0, "merged": None}
    assert shown["waiting"]["reason"] in {"queue", "starting"}
    assert shown["waiting"]["message"] in shown["message"]
    assert (shown["tasks"]["total"], shown["tasks"]["pending"]) == (3, 3)
    tasks = (await send("GET", shown["links"]["tasks"])).json()
    assert [task["primaries"]["requested"] for task in tasks["items"]] == [4, 3, 3]
    assert tasks["job"] == {key: shown[key] for key in ("id", "state", "message")}
    inputs = (await send("GET", shown["links"]["inputs"])).json()
    assert (inputs["type"], inputs["project"]) == ("project", demo_project(10))
    assert inputs["files"]
    status = (await send("GET", "/jobs", params={"job_id": job})).json()
    assert (status["job_state"], status["message"]) == (shown["state"], shown["message"])


async def test_both_interfaces_show_the_same_states(jobs: tuple[httpx.AsyncClient, Infra]) -> None:
    client, infra = jobs
    send = as_user(client)
    job = (await send("POST", "/v1/jobs", json=new_job(tasks=2, primaries=20))).json()["id"]
    started = runner.TaskStarted(job_id=job, index=0, lease=1, worker="w")
    seq = await append(infra, task_subject(job, 0), started)
    assert await infra.positions.wait("jobs", "RUNNER", seq)
    running = (await send("GET", f"/v1/jobs/{job}")).json()
    assert (running["state"], running["tasks"]["running"]) == ("RUNNING", 1)
    for index in range(2):
        await succeed(infra, job, index, 10)
    await appears(infra, job, "JobMergeRequested")
    await publish(infra, job, 2, 20, partial=False)
    await appears(infra, job, "JobCompleted")
    over = (await send("GET", f"/v1/jobs/{job}")).json()
    assert (over["state"], over["tasks"]["completed"]) == ("COMPLETED", 2)
    assert over["waiting"] is None
    assert over["primaries"] == {"requested": 20, "simulated": 20, "merged": 20}
    tasks = (await send("GET", f"/v1/jobs/{job}/tasks")).json()["items"]
    theirs = (await send("GET", "/jobs", params={"job_id": job})).json()["job_tasks_status"]
    assert [task["state"] for task in tasks] == [task["task_state"] for task in theirs]
    assert all(task["ended_at"].endswith("Z") for task in tasks)


async def test_a_repeated_submission_is_the_first_job(
    jobs: tuple[httpx.AsyncClient, Infra],
) -> None:
    client, _ = jobs
    headers = {"Authorization": "Bearer repeater", "Idempotency-Key": "mine"}
    first, again = [
        await client.post("/v1/jobs", json=new_job("one"), headers=headers) for _ in range(2)
    ]
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    other = await client.post("/v1/jobs", json=new_job("two"), headers=headers)
    assert (other.status_code, other.json()["type"]) == (422, "/v1/problems#key-reused")
    listed = await client.get("/v1/jobs", headers={"Authorization": "Bearer repeater"})
    assert [job["title"] for job in listed.json()["items"]] == ["one"]


async def test_a_refused_submission_names_fields_by_their_native_names(
    jobs: tuple[httpx.AsyncClient, Infra],
) -> None:
    send = as_user(jobs[0])
    assert set(faults(await send("POST", "/v1/jobs", json={}))) == {"engine", "project"}
    both = {**new_job(), "files": {"a": "b"}, "sim_type": "geant4"}
    assert set(faults(await send("POST", "/v1/jobs", json=both))) == {"project", "sim_type"}
    many = {**new_job(), "tasks": 0, "wait_for_engine": 1, "title": 7}
    assert set(faults(await send("POST", "/v1/jobs", json=many))) == {
        "tasks",
        "wait_for_engine",
        "title",
    }
    assert (
        "Unknown engine"
        in faults(await send("POST", "/v1/jobs", json={**new_job(), "engine": "abacus"}))["engine"]
    )
    project = demo_project(10)
    del project["beam"]
    refused = faults(await send("POST", "/v1/jobs", json={**new_job(), "project": project}))
    assert all(field.startswith("project") for field in refused)
    large = {**new_job(), "padding": "x" * 100_000}
    assert set(faults(await send("POST", "/v1/jobs", json=large))) == {"padding"}
    assert (await send("GET", "/v1/jobs")).json() == {"items": [], "next": None}


async def test_the_list_is_searched_and_read_page_by_page(
    jobs: tuple[httpx.AsyncClient, Infra],
) -> None:
    send = as_user(jobs[0])
    titles = ["alpha", "beta 50%", "gamma", "alpha_2", "delta"]
    ids = [(await send("POST", "/v1/jobs", json=new_job(t))).json()["id"] for t in titles]
    await send("POST", f"/v1/jobs/{ids[0]}/cancel")

    async def found(**query: str | int) -> list[str]:
        listed: list[str] = []
        params: dict[str, Any] = {**query, "limit": 2, "total": "true"}
        while True:
            page = (await send("GET", "/v1/jobs", params=params)).json()
            assert len(page["items"]) <= 2
            listed += [job["id"] for job in page["items"]]
            if page["next"] is None:
                assert page["total"] == len(listed)
                return listed
            params["cursor"] = page["next"]

    assert await found() == ids[::-1]
    assert await found(state="CANCELED") == [ids[0]]
    assert await found(state="PENDING,CANCELED", text="alpha") == [ids[3], ids[0]]
    assert await found(text="ALPHA_") == [ids[3]]
    assert await found(text="50%") == [ids[1]]
    assert await found(text=ids[2]) == [ids[2]]
    assert await found(engine="geant4") == ids[::-1]
    assert await found(engine="fluka") == []
    assert await found(text="nothing") == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cursor", "nonsense"),
        ("cursor", "WzFd"),
        ("cursor", "WyJhIiwiYiJd"),
        ("cursor", "W1swXSwiYiJd"),
        ("cursor", "é"),
        ("cursor", "W" * 301),
        ("limit", "0"),
        ("limit", "1001"),
        ("state", "BANANA"),
        ("state", ""),
        ("text", "x" * 201),
        ("page", "1"),
    ],
)
async def test_a_bad_parameter_of_the_list_is_named(
    field: str, value: str, jobs: tuple[httpx.AsyncClient, Infra]
) -> None:
    send = as_user(jobs[0])
    assert set(faults(await send("GET", "/v1/jobs", params={field: value}))) == {field}


async def test_tasks_are_read_page_by_page(jobs: tuple[httpx.AsyncClient, Infra]) -> None:
    send = as_user(jobs[0])
    job = (await send("POST", "/v1/jobs", json=new_job(tasks=5))).json()["id"]
    path = f"/v1/jobs/{job}/tasks"
    numbers: list[int] = []
    page: dict[str, Any] = {"next": None}
    while True:
        where = {"cursor": page["next"]} if page["next"] else {}
        page = (await send("GET", path, params={"limit": 2, **where})).json()
        numbers += [task["number"] for task in page["items"]]
        if page["next"] is None:
            break
    assert numbers == [0, 1, 2, 3, 4]
    listed = (await send("GET", path)).json()["items"]
    assert (await send("GET", f"{path}/3")).json() == listed[3]
    assert (await send("GET", f"{path}/5")).json()[
        "detail"
    ] == "The job has no task with this number"
    assert set(faults(await send("GET", f"{path}/-1"))) == {"number"}
    for wrong in ("WzEsMl0", "Wy0xXQ", "WyIxIl0"):
        assert set(faults(await send("GET", path, params={"cursor": wrong}))) == {"cursor"}


async def stop(infra: Infra, job: str) -> None:
    """Let the only task of a cancelled job stop, as the runner does."""
    await append(infra, task_subject(job, 0), runner.TaskCanceled(job_id=job, index=0))
    await appears(infra, job, "JobCanceled")


async def test_cancel_and_delete(jobs: tuple[httpx.AsyncClient, Infra]) -> None:
    client, infra = jobs
    send = as_user(client)
    job = (await send("POST", "/v1/jobs", json=new_job())).json()["id"]
    path = f"/v1/jobs/{job}"
    early = await send("DELETE", path)
    assert (early.status_code, early.json()["code"]) == (409, "JOB_ACTIVE")
    assert early.headers["content-type"] == PROBLEM
    for _ in range(2):
        canceled = await send("POST", f"{path}/cancel")
        assert (canceled.status_code, canceled.json()) == (200, {"id": job, "state": "CANCELED"})
    await stop(infra, job)
    gone = await send("DELETE", path)
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await send("DELETE", path)).status_code == 204
    for method, where in (("GET", path), ("POST", f"{path}/cancel")):
        answer = await send(method, where)
        assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM)


async def _with_tag(
    client: httpx.AsyncClient, method: str, path: str, user: str, **tags: str
) -> httpx.Response:
    headers = {"Authorization": f"Bearer {user}"}
    headers |= {name.replace("_", "-"): value for name, value in tags.items()}
    return await client.request(method, path, headers=headers)


async def test_entity_tags(jobs: tuple[httpx.AsyncClient, Infra]) -> None:
    client, infra = jobs
    headers = {"Authorization": "Bearer tagger"}
    made = await client.post("/v1/jobs", json=new_job(), headers=headers)
    path = made.headers["location"]
    before = (await _with_tag(client, "GET", path, "tagger")).headers["etag"]
    same = await _with_tag(client, "GET", path, "tagger", if_none_match=before)
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", before)
    await _with_tag(client, "POST", f"{path}/cancel", "tagger")
    await stop(infra, made.json()["id"])
    other = await _with_tag(client, "GET", path, "tagger", if_none_match=before)
    assert (other.status_code, other.json()["state"]) == (200, "CANCELED")
    refused = await _with_tag(client, "DELETE", path, "tagger", if_match=before)
    assert (refused.status_code, refused.json()["type"]) == (412, "/v1/problems#changed")
    done = await _with_tag(client, "DELETE", path, "tagger", if_match=other.headers["etag"])
    assert done.status_code == 204


async def test_jobs_of_others_are_refused(jobs: tuple[httpx.AsyncClient, Infra]) -> None:
    client, _ = jobs
    owner, stranger = as_user(client), as_user(client)
    job = (await owner("POST", "/jobs/direct", json=submission())).json()["job_id"]
    for method, below in (
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/cancel"),
        ("GET", "/tasks"),
        ("GET", "/tasks/0"),
        ("GET", "/inputs"),
    ):
        answer = await stranger(method, f"/v1/jobs/{job}{below}")
        assert (answer.status_code, answer.json()["type"]) == (403, "/v1/problems#forbidden")
        missing = await owner(method, f"/v1/jobs/{UNKNOWN}{below}")
        assert (missing.status_code, missing.json()["type"]) == (404, "/v1/problems#not-found")
    anonymous = await client.get(f"/v1/jobs/{job}")
    assert (anonymous.status_code, anonymous.headers["content-type"]) == (401, PROBLEM)
    unknown = await client.get("/v1/jobs/a/b/c/d")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "/v1/problems#not-found")
    put = await client.put("/v1/jobs")
    assert (put.status_code, put.json()["type"]) == (405, "/v1/problems#method-not-allowed")
