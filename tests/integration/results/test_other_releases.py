"""Read models of another release: rebuilt from the log, or left alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from kerma_common.contracts.events.results import ResultSetPublished
from kerma_common.contracts.ids import JobId, job_id
from kerma_common.errors import ContractViolation
from kerma_common.projection.retries.failures import LoopHalted
from kerma_results.read import project
from kit.running.worlds import results_world
from kit.running.worlds.results_world import NOW, World

OLDER = {
    "a column is missing": ["ALTER TABLE page DROP COLUMN unit", "DROP TABLE read_model"],
    "a column is of another type": [
        "ALTER TABLE estimator ALTER COLUMN name TYPE bytea USING name::bytea",
        "UPDATE read_model SET shape = 'other'",
    ],
    "rows mean something else": [
        "UPDATE page SET raw_size = raw_size + 1",
        "UPDATE read_model SET revision = 0",
    ],
    "a table is missing, another too many": [
        "ALTER TABLE page RENAME TO former_page",
        "UPDATE read_model SET shape = 'other'",
    ],
    "positions are kept differently": [
        "ALTER TABLE checkpoint DROP COLUMN fence",
        "DROP TABLE read_model",
    ],
    "the one of a read model is gone": ["DELETE FROM read_model WHERE name = 'results'"],
}


@pytest.fixture
async def published(world: World, job: JobId) -> JobId:
    """A job whose results were published before the release changed."""
    async with world.service() as running:
        await publish(world, job)
        await running.caught_up()
    return job


@pytest.fixture(autouse=True)
async def own_release(world: World) -> AsyncIterator[None]:
    """Restore the read model of this release for the next test."""
    yield
    await world.reset()


async def publish(world: World, job: JobId) -> None:
    await world.submit(job, 2)
    for index in (0, 1):
        await world.succeed(job, index)
    await world.request_merge(job, 2, 2)
    await world.until(job, ResultSetPublished)


async def change(world: World, *statements: str) -> None:
    async with world.db.begin() as connection:
        await connection.execute(text("SET LOCAL search_path TO results"))
        for statement in statements:
            await connection.execute(text(statement))


async def answer(world: World, job: JobId) -> Any:
    async with world.service() as running, running.client() as client:
        await running.caught_up()
        found = await client.get("/results", params={"job_id": job})
    assert found.status_code == 200
    return found.json()


@pytest.mark.parametrize("name", OLDER)
async def test_rows_of_an_older_release_are_made_anew(
    world: World, published: JobId, name: str
) -> None:
    before, rows = await answer(world, published), await world.rows()
    length = (await world.log.state("RESULTS")).last
    await change(world, *OLDER[name])
    await world.ensure()
    # before any loop runs: no request finds a gap without results
    assert await world.rows() == rows
    assert await answer(world, published) == before
    assert (await world.log.state("RESULTS")).last == length
    later = job_id(NOW, uuid4(), "DIRECT")
    async with world.service():
        await publish(world, later)


async def test_the_same_release_changes_nothing(world: World, published: JobId) -> None:
    await change(world, "UPDATE page SET unit = 'touched'")
    await world.ensure()
    assert {row[4] for row in (await world.rows())["page"]} == {"touched"}


async def test_rows_of_a_newer_release_are_left_alone(world: World, published: JobId) -> None:
    await change(world, "ALTER TABLE page DROP COLUMN unit", "UPDATE read_model SET revision = 99")
    known = f"at revision 99; this release knows {project.RESULTS.revision}"
    with pytest.raises(ContractViolation, match=known):
        await world.ensure()
    with pytest.raises(ProgrammingError, match="unit"):
        await world.rows()


async def test_of_processes_that_start_at_once_one_makes_them(
    world: World, published: JobId, caplog: pytest.LogCaptureFixture
) -> None:
    rows = await world.rows()
    await change(world, *OLDER["a column is missing"])
    await asyncio.gather(*(world.ensure() for _ in range(3)))
    assert await world.rows() == rows
    assert sum("made anew" in record.getMessage() for record in caplog.records) == 1


async def test_a_commit_that_cannot_be_projected_does_not_prevent_the_start(
    world: World, published: JobId
) -> None:
    (estimator, *_) = (await world.rows())["estimator"]
    stored = [e for e in await world.history(published) if hasattr(e, "metadata_ref")]
    assert estimator[3] == stored[0].metadata_ref.sha256
    fragment = world.folder / "blobs" / stored[0].pages[0].fragment_ref.sha256[:2]
    blob = fragment / stored[0].pages[0].fragment_ref.sha256
    body = blob.read_bytes()
    blob.unlink()
    try:
        await change(world, *OLDER["a column is missing"])
        await world.ensure()
    finally:
        blob.write_bytes(body)
    async with world.db.connect() as connection:
        quarantined = await connection.scalar(text("SELECT count(*) FROM results.quarantine"))
    assert quarantined
    # the earlier results of other jobs are there; this one waits for an operator
    assert published in {row[0] for row in (await world.rows())["result_set"]}


async def test_a_running_older_release_halts_when_a_newer_one_takes_over(
    world: World, published: JobId, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def taken_over() -> None:
        async with world.service() as running:
            await running.caught_up()
            newer = replace(project.RESULTS, revision=project.RESULTS.revision + 1)
            with monkeypatch.context() as patched:
                patched.setattr(results_world, "RESULTS", newer)
                await world.ensure()
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(60):
            await taken_over()
    assert caught.group_contains(
        LoopHalted, match="results are those of another release", depth=None
    )
