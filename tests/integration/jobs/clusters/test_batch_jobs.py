"""Jobs on a cluster over HTTP: submission, status, list, inputs, cancellation, deletion."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest

from kerma_common.contracts.events import jobs as events
from kerma_common.contracts.subjects import job_subject
from kerma_common.infra import Infra
from kit.inputs.projects import submission
from kit.running.worlds.cluster import register, remove, run
from kit.running.worlds.jobs_world import as_user

pytestmark = pytest.mark.asyncio(loop_scope="module")
World = tuple[httpx.AsyncClient, Infra]


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
async def test_only_users_of_keycloak_may_use_it_whatever_else_is_wrong(
    jobs: World, method: str
) -> None:
    client, _ = jobs
    native = as_user(client)
    refused = await native(method, "/jobs/batch", params={"foo": "1"})
    assert refused.status_code == 403
    assert (await client.request(method, "/jobs/batch")).status_code == 401


async def test_without_a_cluster_a_sentence_says_what_an_operator_does(jobs: World) -> None:
    client, _ = jobs
    send = as_user(client, "kc")
    refused = await send("POST", "/jobs/batch", json=submission())
    assert refused.status_code == 400
    assert "kerma admin add-cluster" in refused.json()["message"]
    # the body is looked at first
    malformed = await send("POST", "/jobs/batch", json=submission(ntasks="x"))
    assert malformed.json()["ntasks"]


async def test_a_job_waits_for_a_script_on_its_cluster(jobs: World) -> None:
    client, infra = jobs
    clusters = [await register(infra, "ares"), await register(infra, "zeus")]
    try:
        send = as_user(client, "kc")
        options = {
            "cluster_name": "default",
            "array_options": {"time": "0:15:00", "A": "plgKERMA-cpu"},
            "array_header": "#SBATCH --partition=plgrid\nmodule load shieldhit\n",
            "collect_options": {},
            "collect_header": "",
        }
        body = submission(primaries=10, tasks=3, sim_type="shieldhit", batch_options=options)
        answer = await send("POST", "/jobs/batch", json=body)
        assert answer.status_code == 202, answer.text
        job = answer.json()["job_id"]
        assert job.endswith("BATCH")
        for path in ("/jobs", "/jobs/batch", "/jobs/direct"):
            status = (await send("GET", path, params={"job_id": job})).json()
            assert set(status) == {
                "message",
                "job_state",
                "job_tasks_status",
                "partial_results_available",
            }
            assert status["job_state"] == "PENDING"
            assert "cluster ares" in status["message"]
            tasks = status["job_tasks_status"]
            assert [t["task_id"] for t in tasks] == [1, 2, 3]
            assert [t["requested_primaries"] for t in tasks] == [4, 3, 3]
            assert {t["task_state"] for t in tasks} == {"PENDING"}
        listed = (await send("GET", "/user/simulations")).json()["simulations"]
        assert listed[0]["metadata"] == {
            "platform": "BATCH",
            "server": "Yaptide",
            "input_type": "EDITOR",
            "sim_type": "shieldhit",
        }
        inputs = await send("GET", "/inputs", params={"job_id": job})
        assert "beam.dat" in inputs.json()["input"]["input_files"]
        submitted, started = (await infra.log.load(job_subject(job)))[0].commit.events
        plan = submitted.decode()
        assert isinstance(plan, events.JobSubmitted)
        assert plan.batch is not None
        assert (plan.batch.cluster, plan.batch.cluster_name) == (clusters[0], "ares")
        stored = orjson.loads(await infra.blobs.get(plan.batch.options_ref))
        assert stored["array_options"] == {"time": "0:15:00", "account": "plgKERMA-cpu"}
        assert stored["collect_options"] == {"time": "00:59:59"}
        assert stored["array_header"] == options["array_header"]
        assert started.data["placement"] == "batch"
    finally:
        for cluster in clusters:
            await remove(infra, cluster)


@pytest.mark.parametrize(("asked", "taken"), [("zeus", "zeus"), ("Hades", "ares"), (None, "ares")])
async def test_an_unknown_or_missing_cluster_is_the_first_one(
    jobs: World, asked: str | None, taken: str
) -> None:
    client, infra = jobs
    clusters = [await register(infra, "ares"), await register(infra, "zeus")]
    try:
        send = as_user(client, "kc")
        options: dict[str, Any] = {} if asked is None else {"cluster_name": asked}
        body = submission(primaries=2, tasks=1, batch_options=options)
        job = (await send("POST", "/jobs/batch", json=body)).json()["job_id"]
        status = (await send("GET", "/jobs/batch", params={"job_id": job})).json()
        assert f"cluster {taken}" in status["message"]
    finally:
        for cluster in clusters:
            await remove(infra, cluster)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ([], "batch_options"),
        ({"cluster_name": 5}, "batch_options.cluster_name"),
        ({"array_options": {"wrap": "rm -rf /"}}, "batch_options.array_options.wrap"),
        ({"array_options": {"array": "1-9"}}, "batch_options.array_options.array"),
        ({"collect_options": {"time": "1\n#SBATCH"}}, "batch_options.collect_options.time"),
        ({"collect_options": {"time": "$(id)"}}, "batch_options.collect_options.time"),
        ({"array_header": "#!/bin/sh"}, "batch_options.array_header"),
        ({"array_header": "#SBATCH --output=/etc/x"}, "batch_options.array_header"),
    ],
)
async def test_hostile_options_are_refused_by_name(
    jobs: World, options: object, field: str
) -> None:
    client, infra = jobs
    cluster = await register(infra, "ares")
    try:
        send = as_user(client, "kc")
        refused = await send("POST", "/jobs/batch", json=submission(batch_options=options))
        assert refused.status_code == 400
        assert refused.json()[field]
        assert (await send("GET", "/user/simulations")).json()["simulations_count"] == 0
    finally:
        await remove(infra, cluster)


async def test_a_cancelled_job_ends_at_once_and_can_be_deleted(jobs: World) -> None:
    client, infra = jobs
    cluster = await register(infra, "ares")
    try:
        script = await run(client, infra, tasks=2)
        await script.said(1, task_state="RUNNING", simulated_primaries=3)
        what = {"params": {"job_id": script.job}}
        assert (await script.send("DELETE", "/user/simulations", **what)).status_code == 403
        for _ in range(2):
            assert (await script.send("DELETE", "/jobs/batch", **what)).status_code == 200
        assert await script.states() == ["CANCELED", "CANCELED", "CANCELED"]
        assert (await script.events())[-2:] == ["JobCancellationRequested", "JobCanceled"]
        assert (await script.send("DELETE", "/user/simulations", **what)).status_code == 200
        assert (await script.send("GET", "/jobs/batch", **what)).status_code == 404
    finally:
        await remove(infra, cluster)


async def test_a_repeated_submission_is_the_same_job(jobs: World) -> None:
    client, infra = jobs
    send = as_user(client, "kc")
    key = str(uuid4())
    body = submission(primaries=2, tasks=1)
    cluster = await register(infra, "ares")
    try:
        first = await send("POST", "/jobs/batch", json=body, key=key)
        assert first.status_code == 202, first.text
        assert (await send("POST", "/jobs/batch", json=body, key=key)).json() == first.json()
        for path, other in (
            ("/jobs/batch", submission(primaries=3, tasks=1)),
            ("/jobs/direct", body),
        ):
            refused = await send("POST", path, json=other, key=key)
            assert refused.status_code == 422, path
            assert "Idempotency-Key" in refused.json()["message"]
    finally:
        await remove(infra, cluster)
    # a job that exists needs no cluster any more
    again = await send("POST", "/jobs/batch", json=body, key=key)
    assert (again.status_code, again.json()) == (202, first.json())
    assert (await send("GET", "/user/simulations")).json()["simulations_count"] == 1
    another = await send("POST", "/jobs/batch", json=body, key=str(uuid4()))
    assert another.status_code == 400
