"""``POST /v1/jobs`` with the name of a cluster: nothing is chosen for a user who could mean another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from kerma_common.contracts.events import jobs as events
from kerma_common.contracts.subjects import job_subject
from kerma_common.infra import Infra
from kit.inputs.projects import submission
from kit.running.worlds.cluster import register, remove
from kit.running.worlds.jobs_world import as_user

pytestmark = pytest.mark.asyncio(loop_scope="module")
World = tuple[httpx.AsyncClient, Infra]


@pytest_asyncio.fixture(loop_scope="module")
async def ares(jobs: World) -> AsyncIterator[str]:
    """The only cluster."""
    cluster = await register(jobs[1], "ares")
    yield cluster
    await remove(jobs[1], cluster)


@pytest_asyncio.fixture(loop_scope="module")
async def zeus(jobs: World, ares: str) -> AsyncIterator[str]:
    """A second cluster."""
    cluster = await register(jobs[1], "zeus")
    yield cluster
    await remove(jobs[1], cluster)


def body(**changes: Any) -> dict[str, Any]:
    project = submission(primaries=4, tasks=2)["input_json"]
    return {"engine": "geant4", "tasks": 2, "project": project, **changes}


async def submit(jobs: World, prefix: str = "kc", **changes: Any) -> httpx.Response:
    answer: httpx.Response = await as_user(jobs[0], prefix)(
        "POST", "/v1/jobs", json=body(**changes)
    )
    return answer


async def plan(jobs: World, answer: httpx.Response) -> events.BatchPlan | None:
    """Return where an accepted job runs."""
    assert answer.status_code == 201, answer.text
    record = (await jobs[1].log.load(job_subject(answer.json()["id"])))[0]
    submitted = record.commit.events[0].decode()
    assert isinstance(submitted, events.JobSubmitted)
    assert submitted.platform == ("DIRECT" if submitted.batch is None else "BATCH")
    return submitted.batch


def reason(answer: httpx.Response) -> str:
    """Return why the cluster is refused."""
    assert answer.status_code == 400, answer.text
    (error,) = answer.json()["errors"]
    assert error["field"] == "cluster"
    return str(error["detail"])


async def test_without_a_name_workers_run_the_job(jobs: World, zeus: str) -> None:
    for answer in (await submit(jobs), await submit(jobs, cluster=None)):
        assert await plan(jobs, answer) is None


async def test_the_named_cluster_runs_the_job(jobs: World, ares: str, zeus: str) -> None:
    for cluster, name in ((ares, "ares"), (zeus, "zeus")):
        found = await plan(jobs, await submit(jobs, cluster=name))
        assert found is not None
        assert (found.cluster, found.cluster_name) == (cluster, name)


async def test_the_only_one_is_the_default(jobs: World, ares: str) -> None:
    found = await plan(jobs, await submit(jobs, cluster="default"))
    assert found is not None
    assert found.cluster == ares


async def test_of_several_none_is_the_default(jobs: World, zeus: str) -> None:
    refused = reason(await submit(jobs, cluster="default"))
    assert refused == "Several clusters are registered; must be one of: ares, zeus."


async def test_a_cluster_may_have_the_name_of_the_default(jobs: World, zeus: str) -> None:
    cluster = await register(jobs[1], "default")
    try:
        found = await plan(jobs, await submit(jobs, cluster="default"))
        assert found is not None
        assert found.cluster == cluster
    finally:
        await remove(jobs[1], cluster)


@pytest.mark.parametrize("name", ["Ares", "hades", " ares", "*"])
async def test_an_unknown_one_is_refused_with_the_choices(
    jobs: World, zeus: str, name: str
) -> None:
    refused = reason(await submit(jobs, cluster=name))
    assert refused == "Unknown cluster; must be one of: ares, zeus."


@pytest.mark.parametrize("name", ["", "x" * 129, 5, ["ares"], {"name": "ares"}, True])
async def test_what_is_no_name(jobs: World, ares: str, name: object) -> None:
    assert "1 to 128 characters" in reason(await submit(jobs, cluster=name))


async def test_without_a_cluster_a_sentence_says_what_an_operator_does(jobs: World) -> None:
    answer = await submit(jobs, cluster="ares")
    assert answer.status_code == 400
    assert "kerma admin add-cluster" in answer.json()["detail"]


async def test_clusters_are_for_users_of_keycloak(jobs: World, ares: str) -> None:
    answer = await submit(jobs, "u", cluster="ares")
    assert answer.status_code == 403
    assert "Keycloak" in answer.json()["detail"]


async def test_a_repetition_is_the_same_job_after_its_cluster_is_gone(jobs: World) -> None:
    cluster = await register(jobs[1], "ares")
    send, key = as_user(jobs[0], "kc"), str(uuid4())
    try:
        first = await send("POST", "/v1/jobs", json=body(cluster="ares"), key=key)
    finally:
        await remove(jobs[1], cluster)
    again = await send("POST", "/v1/jobs", json=body(cluster="ares"), key=key)
    assert (again.status_code, again.json()) == (201, first.json())
