"""Results over HTTP, in the shapes that clients expect."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import orjson
import pytest
from sqlalchemy import delete

from kerma_common.contracts.events.jobs import JobDeleted, JobFailed
from kerma_common.contracts.events.results import ResultSetPublished
from kerma_common.contracts.events.runner import TasksLost
from kerma_common.contracts.ids import JobId, job_id
from kerma_common.contracts.refs import Ref
from kerma_results.api import stitched
from kerma_results.app.logs import HEAD, MOST_LOGS, REASON, TAIL, TOTAL
from kerma_results.read.models import PAGE_FRAGMENT
from kerma_results.read.queries import PART_BYTES
from kit.programs.tally import OUTPUTS
from kit.running.worlds.results_world import NOW, OWNER, Running, World

UNKNOWN = "20260801-101500-00000000-0000-0000-0000-000000000000DIRECT"
GZIP = {"accept-encoding": "gzip"}


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
    return await publish(world, job)


async def publish(world: World, job: JobId, bins: int = 200) -> JobId:
    await world.submit(job, 2)
    for index in (0, 1):
        await world.succeed(job, index, bins=bins)
    await world.request_merge(job, 2, 2)
    await world.until(job, ResultSetPublished)
    return job


async def raw(client: httpx.AsyncClient, query: dict[str, Any]) -> tuple[httpx.Response, bytes]:
    """Return an answer and its gzip body as sent."""
    async with client.stream("GET", "/results", params=query, headers=GZIP) as response:
        body = b"".join([chunk async for chunk in response.aiter_raw()])
    return response, body


async def test_the_four_shapes(client: httpx.AsyncClient, published: JobId) -> None:
    async def get(**query: Any) -> Any:
        response = await client.get("/results", params={"job_id": published, **query})
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        assert list(response.json()) == sorted(response.json())
        return response.json()

    everything = await get()
    assert set(everything) == {"message", "estimators"}
    assert [e["name"] for e in everything["estimators"]] == list(OUTPUTS)
    a_map = everything["estimators"][1]
    assert set(a_map) == {"name", "metadata", "pages"}
    assert [page["dimensions"] for page in a_map["pages"]] == [2] * 3
    assert [len(a_map["pages"][0][f"axis_dim{n}"]["values"]) for n in (1, 2)] == [2, 100]
    assert await get(page_number=1, page_numbers="0") == everything
    one = await get(estimator_name="a map")
    assert one == {**a_map, "message": one["message"]}
    page = await get(estimator_name="a map", page_number=1, page_numbers="0")
    assert page == {"message": page["message"], "page": a_map["pages"][1]}
    some = await get(estimator_name="a map", page_numbers="7,2,0-1,0,90-999999999999")
    assert some == {"message": some["message"], "pages": a_map["pages"]}
    none = {"message": some["message"], "pages": []}
    assert await get(estimator_name="a map", page_numbers="2-1") == none
    assert await get(estimator_name="no such", page_numbers="0") == none


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ({"estimator_name": "no such"}, 404, None),
        ({"estimator_name": "nul\0"}, 400, "estimator_name"),
        ({"estimator_name": "no such", "page_number": 0}, 404, None),
        ({"estimator_name": "depth", "page_number": 3}, 404, None),
        ({"estimator_name": "depth", "page_number": -1}, 404, None),
        ({"estimator_name": "depth", "page_number": 10**30}, 404, None),
        ({"estimator_name": "depth", "page_number": "one"}, 400, "page_number"),
        ({"estimator_name": "depth", "page_numbers": ""}, 400, "page_numbers"),
        ({"estimator_name": "depth", "page_numbers": "0-a"}, 400, "page_numbers"),
        ({"estimator_name": "depth", "page_numbers": "0," * 5000}, 400, "query"),
        ({"color": "red"}, 400, "color"),
        ({"job_id": UNKNOWN}, 404, None),
        ({"job_id": "nul\0"}, 400, "job_id"),
        ({"job_id": ""}, 400, "job_id"),
    ],
)
async def test_what_cannot_be_answered(
    client: httpx.AsyncClient, published: JobId, query: dict[str, Any], status: int, field: str
) -> None:
    response = await client.get("/results", params={"job_id": published, **query})
    assert response.status_code == status
    body = response.json()
    assert isinstance(body["message"], str)
    assert set(body) == ({"message", field} if field else {"message"})


@pytest.mark.parametrize("path", ["/results", "/estimators", "/logfiles"])
async def test_whose_they_are(running: Running, world: World, job: JobId, path: str) -> None:
    await publish(world, job)
    query = {"job_id": job}
    async with running.client(None) as nobody:
        refused = await nobody.get(path, params=query)
        assert (refused.status_code, refused.json()) == (401, {"message": "No token provided"})
    async with running.client("someone else") as stranger:
        assert (await stranger.get(path, params=query)).status_code == 403
    async with running.client() as owner:
        missing = await owner.get(path)
        assert (missing.status_code, "job_id" in missing.json()) == (400, True)
        await world.record(JobDeleted(job_id=job, by=OWNER))
        await running.caught_up()
        for unknown in (job, UNKNOWN):
            response = await owner.get(path, params={"job_id": unknown})
            assert response.status_code == 404
            assert response.json() == {"message": "Job with provided ID does not exist"}


async def test_nothing_is_shown_before_all_is_there(
    client: httpx.AsyncClient, running: Running, world: World, job: JobId
) -> None:
    await world.submit(job, 1)
    await running.caught_up()
    for path in ("/results", "/estimators", "/logfiles"):
        response = await client.get(path, params={"job_id": job})
        assert response.status_code == 404
        assert response.json()["message"] != "Job with provided ID does not exist"


async def test_estimators(client: httpx.AsyncClient, published: JobId) -> None:
    body = (await client.get("/estimators", params={"job_id": published})).json()
    assert [e["name"] for e in body["estimators_metadata"]] == list(OUTPUTS)
    assert body["estimators_metadata"][1]["pages_metadata"] == [
        {"page_number": n, "page_name": "DOSE", "page_dimension": 2} for n in range(3)
    ]


QUERIES = [
    {},
    {"estimator_name": "depth"},
    {"estimator_name": "depth", "page_number": "2"},
    {"estimator_name": "depth", "page_numbers": "0,2"},
    {"estimator_name": "depth", "page_numbers": "9"},
]


@pytest.mark.parametrize("query", QUERIES)
async def test_both_encodings_hold_the_same(
    client: httpx.AsyncClient, published: JobId, query: dict[str, str]
) -> None:
    query = {"job_id": published, **query}
    zipped, body = await raw(client, query)
    plain = await client.get("/results", params=query)
    assert zipped.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(body) == plain.content
    assert int(zipped.headers["content-length"]) == len(body)
    assert int(plain.headers["content-length"]) == len(plain.content)
    assert zipped.headers["etag"] != plain.headers["etag"]
    assert {zipped.headers["vary"], plain.headers["vary"]} == {"Accept-Encoding, Origin"}


async def test_large_pages_are_sent_from_several_rows(
    client: httpx.AsyncClient, world: World, job: JobId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stitched, "LOADED_AT_ONCE", PART_BYTES)
    await publish(world, job, bins=70_000)
    query = {"job_id": job, "estimator_name": "depth"}
    _, body = await raw(client, query)
    rows = [row for row in (await world.rows())["page_fragment"] if row[0] == job]
    assert max(row[3] for row in rows) == 1
    assert {len(row[4]) for row in rows if row[3] == 0} == {PART_BYTES}
    plain = (await client.get("/results", params=query)).content
    assert gzip.decompress(body) == plain
    page = json.loads(plain)["pages"][2]
    sums = [3 * np.random.default_rng(i).random(70_000) * (i + 10) for i in (0, 1)]
    np.testing.assert_allclose(page["data"]["values"], sum(sums) / 21, rtol=1e-12)


async def test_a_small_answer_is_whole_or_an_error(
    client: httpx.AsyncClient, world: World, published: JobId
) -> None:
    """A large one is a stream, which can only break off."""
    query = {"job_id": published, "estimator_name": "depth", "page_number": "0"}
    async with world.db.begin() as connection:
        deleted = delete(PAGE_FRAGMENT).where(PAGE_FRAGMENT.c.job_id == published)
        await connection.execute(deleted)
    response = await client.get("/results", params=query)
    assert response.status_code == 503
    assert response.headers["retry-after"]
    assert "deleted" in response.json()["message"]


async def test_a_client_that_has_it_is_not_sent_it_again(
    client: httpx.AsyncClient, published: JobId, world: World
) -> None:
    query = {"job_id": published, "estimator_name": "depth", "page_numbers": "0"}
    for headers in (GZIP, {}):
        first = await client.get("/results", params=query, headers=headers)
        tag = first.headers["etag"]
        known = {**headers, "if-none-match": f'"other", W/{tag}'}
        again = await client.get("/results", params=query, headers=known)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        changed = await client.get("/results", params={**query, "page_numbers": "1"}, headers=known)
        assert changed.status_code == 200


@pytest.mark.parametrize("headers", [GZIP, {}])
async def test_a_page_is_the_same_whether_its_bytes_come_with_its_row_or_after_it(
    client: httpx.AsyncClient, published: JobId, headers: dict[str, str]
) -> None:
    """They come after it only if the client may have them already."""
    query = {"job_id": published, "estimator_name": "depth", "page_number": "0"}
    at_once = await client.get("/results", params=query, headers=headers)
    stale = {**headers, "if-none-match": '"other"'}
    after = await client.get("/results", params=query, headers=stale)
    known = {**headers, "if-none-match": at_once.headers["etag"]}
    assert (await client.get("/results", params=query, headers=known)).status_code == 304
    assert (at_once.status_code, after.status_code) == (200, 200)
    assert at_once.content == after.content
    assert at_once.headers["etag"] == after.headers["etag"]
    assert at_once.json()["page"]["data"]["values"]


async def log_blob(world: World, **texts: str) -> Ref:
    """Store a log in the form that workers use."""
    return await world.blobs.put(orjson.dumps(texts), "application/vnd.kerma.logs+json")


async def logs_of(client: httpx.AsyncClient, job: JobId, **more: str) -> Any:
    """Return the logs that the user sees; the parameters of ``/results`` are tolerated."""
    query: dict[str, Any] = {"job_id": job, "page_number": 1, "estimator_name": "z", **more}
    response = await client.get("/logfiles", params=query)
    assert set(response.json()) == {"message", "logfiles"}
    return response.json()["logfiles"]


async def test_logs_of_failed_attempts_come_first(
    client: httpx.AsyncClient, running: Running, world: World, job: JobId
) -> None:
    await world.submit(job, 3)
    await world.succeed(job, 0, log=await log_blob(world, stdout="fine\n"))
    texts = {"stdout": "µ\n", "../sub dir/geant4_run.log": "<G4> & 'it'"}
    await world.fail(job, 2, 1, await log_blob(world, **texts), "exit code 1")
    await world.fail(job, 2, 2, await world.blobs.put(b"[1, 2]"), "exit code 2")
    await world.fail(job, 2, 3, None, "exit code 3")
    await running.caught_up()
    found = await logs_of(client, job, plain="true")
    assert found.pop(REASON).startswith("Failed attempts, the latest first")
    assert list(found.items()) == [
        ("002-task-0002-attempt-2-note.txt", "The log cannot be read.\n"),
        ("003-task-0002-attempt-1-stdout", "µ\n"),
        ("003-task-0002-attempt-1-sub-dir-geant4-run.log", "<G4> & 'it'"),
        ("004-task-0000-attempt-1-stdout", "fine\n"),
    ]
    # what the UI writes into a page of its own origin
    shown = await logs_of(client, job)
    assert shown["003-task-0002-attempt-1-sub-dir-geant4-run.log"] == "&lt;G4&gt; &amp; 'it'"


async def test_the_first_log_of_a_failed_job_says_why_and_attempts_that_failed_alike_are_one(
    client: httpx.AsyncClient, running: Running, world: World, job: JobId
) -> None:
    await world.submit(job, 3)
    for attempt in (1, 2, 3):
        for index in (0, 2):
            log = await log_blob(world, stdout=f"{index} {attempt}\n")
            await world.fail(job, index, attempt, log, "bad <beam>")
    await world.fail(job, 1, 1, None, "no disk")
    await world.record(TasksLost(job_id=job, tasks=(1,), reason="cannot be read"))
    now = datetime.now(UTC)
    failed = JobFailed(
        job_id=job, code="TASKS_FAILED", summary="3 of 3", failed_tasks=(0,), ended_at=now
    )
    await world.record(failed)
    await running.caught_up()
    found = await logs_of(client, job, plain="true")
    assert list(found) == [REASON, "003-task-0002-attempt-3-stdout"] == sorted(found)
    assert found["003-task-0002-attempt-3-stdout"] == "2 3\n"
    assert found[REASON].splitlines() == [
        "The job failed: 3 of 3",
        "Code: TASKS_FAILED",
        "",
        "Failed attempts, the latest first; those that failed alike are counted once:",
        "",
        "1 attempt of task 1: HISTORY_LOST",
        "    cannot be read",
        "1 attempt of task 1: EXIT",
        "    no disk",
        "6 attempts of tasks from 0 to 2: EXIT",
        "    bad <beam>",
        "    logs: 003-task-0002-attempt-3-*",
    ]
    assert "bad &lt;beam&gt;" in (await logs_of(client, job))[REASON]


async def test_logs_have_limits(
    client: httpx.AsyncClient, running: Running, world: World, job: JobId
) -> None:
    lines = "".join(f"{n:09d}\n" for n in range(60_000))
    log = await log_blob(world, stdout=lines)
    shown = TOTAL // (HEAD + TAIL)
    await world.submit(job, shown + 2)
    for index in range(shown + 2):
        await world.fail(job, index, 1, log, f"exit code {index}")
    await running.caught_up()
    found = await logs_of(client, job)
    text = found[f"001-task-{shown + 1:04d}-attempt-1-stdout"]
    assert text.startswith("000000000\n")
    assert text.endswith("000059999\n")
    assert f"[... {len(lines) - HEAD - TAIL} characters are left out here ...]" in text
    assert found["truncated.txt"] == "The logs of further attempts are not shown.\n"
    assert len(found) == shown + 2


async def test_of_very_many_logs_the_first_are_shown(
    client: httpx.AsyncClient, running: Running, world: World, job: JobId
) -> None:
    log = await log_blob(world, stdout="-")
    await world.submit(job, MOST_LOGS + 1)
    for index in range(MOST_LOGS):
        await world.fail(job, index, 1, log, f"exit code {index}")
    await running.caught_up()
    assert len(await logs_of(client, job)) == MOST_LOGS + 1
    await world.fail(job, MOST_LOGS, 1, log, "another")
    await running.caught_up()
    found = await logs_of(client, job)
    assert len(found) == MOST_LOGS + 2
    assert "truncated.txt" in found


async def test_log_files_that_are_lost_say_so(
    client: httpx.AsyncClient, running: Running, world: World, job: JobId
) -> None:
    await world.submit(job, 1)
    log = await log_blob(world, stdout=str(uuid4()))
    (world.folder / "blobs" / log.sha256[:2] / log.sha256).unlink()
    await world.fail(job, 0, 1, log)
    await running.caught_up()
    found = await logs_of(client, job)
    assert found["001-task-0000-attempt-1-note.txt"] == "The log is not stored any more.\n"


async def test_results_survive_a_restart(world: World) -> None:
    job = job_id(NOW, uuid4(), "DIRECT")
    async with world.service() as before, before.client() as client:
        await publish(world, job)
        first = await client.get("/results", params={"job_id": job})
    async with world.service() as after, after.client() as client:
        again = await client.get("/results", params={"job_id": job})
    assert again.content == first.content
