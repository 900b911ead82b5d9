"""Results and logs below ``/v1/jobs``: the pages and texts of the YAPTIDE paths, at paths of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest

from kerma_common.contracts.events.jobs import JobDeleted
from kerma_common.contracts.events.results import ResultSetPublished
from kerma_common.contracts.ids import JobId
from kerma_results.app.logs import REASON
from kit.running.worlds.results_world import OWNER, Running, World

UNKNOWN = "20260801-101500-00000000-0000-0000-0000-000000000000DIRECT"


@pytest.fixture
async def running(world: World) -> AsyncIterator[Running]:
    async with world.service() as found:
        yield found


@pytest.fixture
async def client(running: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with running.client() as found:
        yield found


@pytest.fixture
async def published(world: World, running: Running, job: JobId) -> JobId:
    """A job of two tasks with published results."""
    await world.submit(job, 2)
    for index in (0, 1):
        await world.succeed(job, index, bins=20)
    await world.request_merge(job, 2, 2)
    await world.until(job, ResultSetPublished)
    return job


async def test_estimators_and_pages(client: httpx.AsyncClient, published: JobId) -> None:
    theirs = (await client.get("/results", params={"job_id": published})).json()["estimators"]

    async def get(below: str = "", **query: Any) -> Any:
        response = await client.get(f"/v1/jobs/{published}/results{below}", params=query)
        assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
        tag = {"If-None-Match": response.headers["etag"]}
        again = await client.get(f"/v1/jobs/{published}/results{below}", params=query, headers=tag)
        assert (again.status_code, again.content) == (304, b"")
        return response.json()

    listed = await get()
    assert listed["next"] is None
    assert [(e["number"], e["name"]) for e in listed["items"]] == [
        (number, estimator["name"]) for number, estimator in enumerate(theirs)
    ]
    for entry, whole in zip(listed["items"], theirs, strict=True):
        below = f"/estimators/{entry['number']}"
        assert await get(below) == {**whole, "number": entry["number"]}
        numbers = [page["number"] for page in entry["pages"]]
        assert [await get(f"{below}/pages/{n}") for n in numbers] == whole["pages"]
    some = await get("/estimators/1", pages="2,0-0,9")
    assert some["pages"] == [theirs[1]["pages"][0], theirs[1]["pages"][2]]


@pytest.mark.parametrize(
    ("below", "accept", "status"),
    [
        ("/estimators/7", "*/*", 404),
        ("/estimators/x", "*/*", 400),
        ("/estimators/-1", "*/*", 400),
        ("/estimators/0?pages=x", "*/*", 400),
        ("/estimators/0/pages/9", "*/*", 404),
        ("/estimators/0/pages/99999999999", "*/*", 400),
        ("/estimators/0/pages/0", "application/x-npy", 406),
        ("/estimators/0", "text/html, application/vnd.apache.arrow.stream;q=0.5", 406),
        ("?estimator_name=x", "*/*", 400),
    ],
)
async def test_what_cannot_be_answered(
    client: httpx.AsyncClient, published: JobId, below: str, accept: str, status: int
) -> None:
    answer = await client.get(f"/v1/jobs/{published}/results{below}", headers={"Accept": accept})
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_logs_are_plain(
    client: httpx.AsyncClient, running: Running, world: World, job: JobId
) -> None:
    await world.submit(job, 1)
    log = await world.blobs.put(
        orjson.dumps({"stdout.txt": "<b>bold</b>"}), "application/vnd.kerma.logs+json"
    )
    await world.fail(job, 0, 1, log, message="<i>bad</i> beam")
    await running.caught_up()
    why, entry = (await client.get(f"/v1/jobs/{job}/logs")).json()["items"]
    assert why["name"] == REASON
    assert "<i>bad</i> beam" in why["text"]
    assert entry["text"] == "<b>bold</b>"
    assert entry["name"].endswith("stdout.txt")


async def test_whose_they_are(running: Running, world: World, published: JobId) -> None:
    paths = [
        f"/v1/jobs/{published}/results",
        f"/v1/jobs/{published}/results/estimators/0",
        f"/v1/jobs/{published}/results/estimators/0/pages/0",
        f"/v1/jobs/{published}/logs",
    ]
    for path in paths:
        async with running.client(None) as nobody:
            assert (await nobody.get(path)).status_code == 401
        async with running.client("someone else") as stranger:
            assert (await stranger.get(path)).status_code == 403
    await world.record(JobDeleted(job_id=published, by=OWNER))
    await running.caught_up()
    async with running.client() as owner:
        for path in (*paths, f"/v1/jobs/{UNKNOWN}/results", f"/v1/jobs/{UNKNOWN}/logs"):
            assert (await owner.get(path)).status_code == 404
