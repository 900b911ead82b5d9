"""Result sets with more pages than fit in one commit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import orjson
import pytest

from kerma_common.contracts.envelope import (
    MAX_COMMIT_BYTES,
    Meta,
    StoredEvent,
    encode,
    make_commit,
)
from kerma_common.contracts.events.results import EstimatorMaterialised, ResultSetPublished
from kerma_common.contracts.ids import JobId, commit_id, job_id
from kerma_common.contracts.subjects import result_set_subject
from kerma_results.adapters import manifest
from kit.running.worlds.results_world import NOW, World

pytestmark = pytest.mark.slow

MANY = 5000
CASES = [(("depth",), MANY), (tuple(f"scorer {n}" for n in range(100)), 20)]


async def published(
    world: World, job: JobId, names: tuple[str, ...], pages: int
) -> list[EstimatorMaterialised]:
    """Publish results of two of three tasks; return the estimators in the log."""
    await world.submit(job, 3, names=names, pages=pages)
    for index in (2, 0):
        await world.succeed(job, index, bins=4, outputs=names)
    await world.request_merge(job, 3, 2)
    events = await world.until(job, ResultSetPublished)
    assert events[-1].partial
    return [event for event in events if isinstance(event, EstimatorMaterialised)]


def expected(name: str, names: tuple[str, ...]) -> list[float]:
    """Return the values of the first page: sums over primaries of the succeeded tasks."""
    found = []
    for index in (0, 2):
        rng = np.random.default_rng(index)
        found.append([rng.random(4) * (index + 10) for _ in names][names.index(name)])
    return list((found[0] + found[1]) / 22)


async def get(client: httpx.AsyncClient, job: JobId, **query: Any) -> Any:
    answer = await client.get(
        "/results", params={"job_id": job, **query}, headers={"accept-encoding": "gzip"}
    )
    assert answer.status_code == 200, answer.text
    return orjson.loads(answer.content)


@pytest.mark.parametrize(("names", "pages"), CASES, ids=["one", "hundred"])
async def test_every_page_is_merged_and_read(
    world: World, job: JobId, names: tuple[str, ...], pages: int
) -> None:
    async with world.service() as running, running.client() as client:
        stored = await published(world, job, names, pages)
        assert [event.name for event in stored] == list(names)
        whole = await get(client, job)
        last = await get(client, job, estimator_name=names[-1], page_number=pages - 1)
        some = await get(
            client, job, estimator_name=names[0], page_numbers=f"1-3,{pages - 2}-99999999"
        )
        listed = (await client.get("/estimators", params={"job_id": job})).json()
    for estimator in whole["estimators"]:
        first = expected(estimator["name"], names)
        for number, page in enumerate(estimator["pages"]):
            np.testing.assert_allclose(
                page["data"]["values"], np.multiply(first, number + 1), rtol=1e-12
            )
        assert len(estimator["pages"]) == pages
    assert last["page"] == whole["estimators"][-1]["pages"][-1]
    shown = whole["estimators"][0]["pages"]
    assert some["pages"] == [*shown[1:4], *shown[-2:]]
    told = listed["estimators_metadata"]
    assert [e["name"] for e in told] == list(names)
    assert {len(e["pages_metadata"]) for e in told} == {pages}


async def test_a_manifest_lists_what_does_not_fit_into_a_commit(world: World, job: JobId) -> None:
    async with world.service():
        (stored,) = await published(world, job, ("depth",), 1000)
    assert stored.manifest_ref is not None
    assert stored.pages == ()
    listed = manifest.decode_pages(await world.blobs.get(stored.manifest_ref))
    assert [page.number for page in listed] == list(range(1000))
    inline = replace(stored, pages=listed, manifest_ref=None)
    meta = Meta("user:test", "Test", "story", "results")
    with pytest.raises(ValueError, match=f"exceeds {MAX_COMMIT_BYTES}"):
        encode(make_commit("c", "result_set", job, 1, meta, (inline,), NOW))


async def test_replay_and_rebuild_read_manifests_again(world: World, job: JobId) -> None:
    async with world.service() as running, running.client() as client:
        await published(world, job, ("depth",), 400)
        await running.caught_up()
        before, rows = await get(client, job), await world.rows()
    await world.reset()
    async with world.service() as running, running.client() as client:
        await running.caught_up()
        assert await get(client, job) == before
        assert await world.rows() == rows
        compared = await world.rebuild()
        assert {c.table for c in compared} > {"page", "page_fragment"}
        assert [c for c in compared if c.equal is False] == []
        assert await get(client, job) == before


async def test_events_of_the_first_version_are_read(world: World, job: JobId) -> None:
    """An older release wrote them: every page is listed, and there is no manifest."""
    older = job_id(NOW, uuid4(), "DIRECT")
    async with world.service() as running, running.client() as client:
        await published(world, job, ("depth",), 3)
        await world.submit(older, 3, names=("depth",))
        subject = result_set_subject(older)
        for recorded in await world.log.load(result_set_subject(job)):
            commit = recorded.commit._replace(
                id=commit_id("older", recorded.commit.id),
                aggregate_id=older,
                events=tuple(first_version(event, older) for event in recorded.commit.events),
            )
            await world.log.append(subject, await world.log.last_seq(subject), commit)
        await running.caught_up()
        kinds = [e.type for r in await world.log.load(subject) for e in r.commit.events]
        assert kinds.count("EstimatorMaterialised") == 1
        assert await get(client, older) == await get(client, job)


def first_version(event: StoredEvent, job: JobId) -> StoredEvent:
    """Return the event of another job as it was stored before manifests existed."""
    data = {key: value for key, value in event.data.items() if key != "manifest_ref"}
    return event._replace(version=1, data={**data, "job_id": job})
