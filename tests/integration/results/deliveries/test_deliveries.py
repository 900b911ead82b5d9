"""``POST /results``: what is stored of a delivery, and how its job completes."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import httpx
import numpy as np
import pytest

from kerma_common.commands.context import CommandContext
from kerma_common.contracts.events.jobs import (
    JobCanceled,
    JobCancellationRequested,
    JobDeleted,
    JobFailed,
)
from kerma_common.contracts.events.results import (
    EstimatorMaterialised,
    ResultSetDeleted,
    ResultSetPublished,
    ResultsExpected,
    ResultsRefused,
)
from kerma_common.contracts.ids import JobId
from kerma_common.contracts.subjects import result_set_subject
from kerma_common.errors import DomainRejected
from kerma_results.domain.commands import AcceptDelivery
from kerma_results.domain.result_set import RESULT_SET
from kerma_results.pages.arrays import open_page
from kit.programs.tally import OUTPUTS
from kit.running.clients.deliveries import Delivery, delivery, estimators_of
from kit.running.worlds.results_world import NOW, OWNER, Running, World


async def read(client: httpx.AsyncClient, job: str) -> list[dict[str, Any]]:
    response = await client.get("/results", params={"job_id": job})
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["estimators"]
    return found


def as_stored(estimators: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return delivered estimators with the names of outputs, in their order, pages by number."""
    named = {found["name"].rstrip("_"): found for found in estimators}
    return [
        {
            "name": name,
            "metadata": named[name]["metadata"],
            "pages": sorted(named[name]["pages"], key=lambda p: int(p["metadata"]["page_number"])),
        }
        for name in OUTPUTS
    ]


async def test_pages_are_those_that_were_posted_under_the_names_of_outputs(
    client: httpx.AsyncClient, world: World, sent: Delivery
) -> None:
    delivered = estimators_of()
    response = await sent.post(client, delivered)
    assert (response.status_code, set(response.json())) == (202, {"message"}), response.text
    await world.until(sent.job_id, ResultSetPublished)
    assert await read(client, sent.job_id) == as_stored(delivered)
    listed = (await client.get("/estimators", params={"job_id": sent.job_id})).json()
    assert [found["name"] for found in listed["estimators_metadata"]] == list(OUTPUTS)
    assert listed["estimators_metadata"][0]["pages_metadata"] == [
        {"page_number": 0, "page_name": "DOSE", "page_dimension": 2},
        {"page_number": 1, "page_name": "DOSE", "page_dimension": 1},
        {"page_number": 12, "page_name": "DOSE", "page_dimension": 0},
    ]
    query = {"job_id": sent.job_id, "estimator_name": "a map", "page_numbers": "0-1,12"}
    some = (await client.get("/results", params=query)).json()["pages"]
    assert some == as_stored(delivered)[1]["pages"]


async def test_the_order_of_estimators_and_members_and_the_coding_do_not_matter(
    client: httpx.AsyncClient, world: World, sent: Delivery
) -> None:
    delivered = estimators_of()
    body = sent.body(delivered[::-1])
    key_last = json.dumps({"estimators": body.pop("estimators"), **body}).encode()
    headers = {"content-encoding": "gzip", "content-type": "text/plain"}
    response = await client.post("/results", content=gzip.compress(key_last), headers=headers)
    assert response.status_code == 202, response.text
    await world.until(sent.job_id, ResultSetPublished)
    assert await read(client, sent.job_id) == as_stored(delivered)


async def test_numbers_that_are_not_finite_are_kept_and_shown_as_null(
    client: httpx.AsyncClient, world: World, sent: Delivery
) -> None:
    delivered = estimators_of()
    data = delivered[0]["pages"][0]["data"]
    data["values"] = [float("nan"), 7.5]
    data["errors"] = [float("inf"), float("-inf")]
    assert (await sent.post(client, delivered)).status_code == 202
    await world.until(sent.job_id, ResultSetPublished)
    data["values"], data["errors"] = [None, 7.5], [None, None]
    assert await read(client, sent.job_id) == as_stored(delivered)
    name = delivered[0]["name"].rstrip("_")
    history = [e for e in await world.history(sent.job_id) if isinstance(e, EstimatorMaterialised)]
    pages = next(event.pages for event in history if event.name == name)
    ref = next(found.array_ref for found in pages if found.number == 1)
    kept = open_page(await world.blobs.get(ref))
    np.testing.assert_array_equal(kept.array("values"), [np.nan, 7.5])
    assert kept.array("errors").tolist() == [np.inf, -np.inf]


async def test_a_repetition_changes_nothing_and_other_results_are_refused(
    client: httpx.AsyncClient, world: World, sent: Delivery
) -> None:
    delivered = estimators_of()
    assert (await sent.post(client, delivered)).status_code == 202
    await world.until(sent.job_id, ResultSetPublished)
    history = await world.history(sent.job_id)
    blobs = stored(world)
    for same in (delivered, delivered[::-1]):
        assert (await sent.post(client, same)).status_code == 202
    other = estimators_of()
    other[0]["pages"][0]["data"]["values"][0] += 1e-12
    refused = await sent.post(client, other)
    assert (refused.status_code, refused.json()["code"]) == (409, "RESULTS_DIFFER")
    assert await world.history(sent.job_id) == history
    assert stored(world) == blobs
    assert await read(client, sent.job_id) == as_stored(delivered)


async def test_of_concurrent_deliveries_one_counts(
    client: httpx.AsyncClient, world: World, sent: Delivery
) -> None:
    sets = [estimators_of(), estimators_of()]
    sets[1][0]["pages"][0]["data"]["values"][0] = 1234.5
    answers = await asyncio.gather(*(sent.post(client, sets[n % 2]) for n in range(6)))
    history = await world.until(sent.job_id, ResultSetPublished)
    statuses = [answer.status_code for answer in answers]
    # too many at a time are told to come again
    assert set(statuses) <= {202, 409, 429, 503}
    assert 202 in statuses
    names = [type(event).__name__ for event in history]
    assert names.count("ResultsReceived") == names.count("ResultSetCompleted") == 1
    assert names.count("EstimatorMaterialised") == len(OUTPUTS)
    winner = [n % 2 for n, status in enumerate(statuses) if status == 202]
    assert len({*winner}) == 1
    assert await read(client, sent.job_id) == as_stored(sets[winner[0]])


@pytest.mark.parametrize("event", [JobCancellationRequested, JobCanceled, JobFailed, JobDeleted])
async def test_a_job_that_has_ended_takes_no_results(
    client: httpx.AsyncClient, world: World, sent: Delivery, event: type
) -> None:
    blobs = stored(world)
    await world.record(ending(event, sent.job_id))
    refused = await sent.post(client)
    deleted = event is JobDeleted
    assert refused.status_code == (400 if deleted else 409), refused.text
    expected = {"simulation_id"} if deleted else {"code"}
    assert set(refused.json()) == {"message", *expected}
    assert stored(world) == blobs
    assert (await client.get("/results", params={"job_id": sent.job_id})).status_code == 404


@pytest.mark.parametrize("event", [JobCancellationRequested, JobFailed, JobDeleted])
async def test_the_aggregate_refuses_what_overtakes_the_end_of_the_job(
    world: World, running: Running, job: JobId, event: type
) -> None:
    """Whatever the read model shows, the result set itself has been closed."""
    sent = await delivery(world, job)
    await world.until(job, ResultsExpected)
    await world.record(ending(event, job))
    await world.until(job, ResultSetDeleted, ResultsRefused)
    command = AcceptDelivery(job, "0" * 64, (), 1, 1)
    context = CommandContext("test", ("results", job), "test", NOW)
    with pytest.raises(DomainRejected) as refused:
        await running.infra.bus.execute(RESULT_SET, result_set_subject(job), command, context)
    assert refused.value.code == "JOB_ENDED"
    assert sent.simulation_id > 0


async def test_results_that_came_before_a_deletion_go_with_the_job(
    client: httpx.AsyncClient, running: Running, world: World, sent: Delivery
) -> None:
    assert (await sent.post(client)).status_code == 202
    await world.until(sent.job_id, ResultSetPublished)
    await world.record(JobDeleted(job_id=sent.job_id, by=OWNER))
    await world.until(sent.job_id, ResultSetDeleted)
    await running.caught_up()
    rows = await world.rows()
    for table in ("page", "page_fragment", "estimator", "result_set"):
        assert sent.job_id not in {row[0] for row in rows[table]}


async def test_rows_are_the_same_after_a_rebuild(
    client: httpx.AsyncClient, running: Running, world: World, sent: Delivery
) -> None:
    assert (await sent.post(client)).status_code == 202
    await world.until(sent.job_id, ResultSetPublished)
    await running.caught_up()
    rows = await world.rows()
    await world.rebuild()
    assert await world.rows() == rows


def ending(event: type, job: str) -> Any:
    if event is JobCancellationRequested:
        return JobCancellationRequested(job_id=job, by=OWNER, collect=False)
    if event is JobCanceled:
        return JobCanceled(job_id=job, succeeded=0, failed=0, canceled=2, ended_at=NOW)
    if event is JobFailed:
        return JobFailed(job_id=job, code="X", summary="x", failed_tasks=(0, 1), ended_at=NOW)
    return JobDeleted(job_id=job, by=OWNER)


def stored(world: World) -> set[str]:
    """Return the names of all blobs."""
    return {path.name for path in (world.folder / "blobs").rglob("*") if path.is_file()}
