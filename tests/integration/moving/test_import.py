"""``kerma admin import-yaptide``: every answer is the one that YAPTIDE's rows give."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import pytest

from kerma_common.contracts.envelope import Recorded
from kit.running.clients.command_line import kerma
from kit.running.worlds.accounts import login
from kit.running.worlds.moving import Kerma, Visitor
from kit.yaptide import expected
from kit.yaptide.database import Old, Yaptide

pytestmark = pytest.mark.asyncio(loop_scope="module")
PASSWORD = "a Pässword"


async def moved(url_file: Path, *options: str, code: int = 0) -> dict[str, Any]:
    """Import, and return the report."""
    ran = await kerma(
        "admin",
        "import-yaptide",
        "--database-url-file",
        str(url_file),
        "--json",
        *options,
        code=code,
    )
    found: dict[str, Any] = ran.json
    return found


def counted(report: dict[str, Any], column: str) -> dict[str, int]:
    """Return the counts of a column that are not 0."""
    tables = report["tables"].items()
    return {table: counts[column] for table, counts in tables if counts[column]}


async def same(visitor: Visitor, job: Old) -> None:
    """Compare everything that a user sees of a job with its rows."""
    query: dict[str, Any] = {"job_id": job.job_id}
    status = await visitor.get("/jobs", **query)
    assert status["job_state"] == job.state
    assert status["job_tasks_status"] == expected.tasks(job)
    if job.input is None:
        await visitor.get("/inputs", 404, **query)
    else:
        assert (await visitor.get("/inputs", **query))["input"] == job.input
    if job.estimators:
        assert (await visitor.get("/results", **query))["estimators"] == expected.results(job)
        shown = await visitor.get("/estimators", **query)
        assert shown["estimators_metadata"] == expected.estimators(job)
        name, _, pages = job.estimators[0]
        numbered = await visitor.get("/results", estimator_name=name, page_numbers="0-9", **query)
        assert numbered["pages"] == pages
    else:
        await visitor.get("/results", 404, **query)
        await visitor.get("/estimators", 404, **query)
    plain = await visitor.get("/logfiles", plain="true", **query)
    assert plain["logfiles"] == expected.logs(job)
    escaped = {name: html.escape(text, quote=False) for name, text in expected.logs(job).items()}
    assert (await visitor.get("/logfiles", **query))["logfiles"] == escaped


async def test_every_answer_is_that_of_the_old_rows(
    kerma_services: Kerma, yaptide: Yaptide, url_file: Path
) -> None:
    for name in ("ada", "Berta"):
        yaptide.add_user(name, PASSWORD)
    jobs = [
        yaptide.add_job("ada"),
        yaptide.add_job("ada", "CANCELED"),
        yaptide.add_job("ada", platform="BATCH", input=None),
        yaptide.add_job("Berta"),
    ]
    report = await moved(url_file)
    assert report["revision"] == "5003b9acb1f4"
    everything = {"User": 2, "Simulation": 4, "Task": 8, "Input": 3, "Logfiles": 8}
    everything |= {"Estimator": 6, "Page": 9}
    assert counted(report, "taken") == everything
    assert counted(report, "skipped") == counted(report, "changed") == {}

    ada = await kerma_services.login("ada", PASSWORD)
    for job in (jobs[0], jobs[2]):
        await same(ada, job)
    # Kerma ends the tasks of a cancelled job, which YAPTIDE left running
    status = await ada.get("/jobs", job_id=jobs[1].job_id)
    assert status["job_state"] == "CANCELED"
    page = await ada.get("/user/simulations", page_size=10)
    newest_first = [expected.listed(job) for job in reversed(jobs[:3])]
    assert page["simulations"] == newest_first
    assert (page["page_count"], page["simulations_count"]) == (1, 3)
    completed = await ada.get("/user/simulations", job_state="COMPLETED", order_type="ascend")
    assert [entry["job_id"] for entry in completed["simulations"]] == [
        jobs[0].job_id,
        jobs[2].job_id,
    ]
    await ada.get("/results", 403, job_id=jobs[3].job_id)
    await same(await kerma_services.login("Berta", PASSWORD), jobs[3])


async def test_an_old_password_is_hashed_anew_at_the_first_login(
    kerma_services: Kerma, yaptide: Yaptide, url_file: Path
) -> None:
    yaptide.add_user("old hash", PASSWORD)
    await moved(url_file)
    assert (await login(kerma_services.auth, "old hash", "wrong")).status_code == 401
    assert await _hash_of(kerma_services, "old hash") == "scrypt:32768:8:1"
    for _ in range(2):
        await kerma_services.login("old hash", PASSWORD)
        assert (await _hash_of(kerma_services, "old hash")).startswith("$argon2id$")
    assert (await login(kerma_services.auth, "old hash", "wrong")).status_code == 401


async def _hash_of(kerma_services: Kerma, name: str) -> str:
    from sqlalchemy import select

    from kerma_auth.adapters.vault import CREDENTIAL

    found = select(CREDENTIAL.c.secret_hash).where(CREDENTIAL.c.username == name)
    async with kerma_services.infra["auth"].db.connect() as connection:
        secret_hash: str = (await connection.execute(found)).scalar_one()
    return secret_hash if secret_hash.startswith("$") else secret_hash.partition("$")[0]


async def test_a_second_run_takes_only_what_is_new(
    kerma_services: Kerma, yaptide: Yaptide, url_file: Path
) -> None:
    yaptide.add_user("again", PASSWORD)
    first = yaptide.add_job("again", job_id="again-1")
    gone = yaptide.add_job("again", job_id="again-2")
    await moved(url_file)
    visitor = await kerma_services.login("again", PASSWORD)
    await visitor.delete(gone.job_id)
    await _recorded(kerma_services, "RESULTS", "ResultSetDeleted")
    before = await _ends(kerma_services)
    report = await moved(url_file)
    assert counted(report, "known")["User"] == 1
    assert await _ends(kerma_services) == before
    yaptide.add_user("later", PASSWORD)
    new = yaptide.add_job("later", job_id="again-3")
    report = await moved(url_file)
    assert counted(report, "taken")["User"] == 1
    await same(visitor, first)
    await visitor.get("/jobs", 404, job_id=gone.job_id)
    await same(await kerma_services.login("later", PASSWORD), new)


async def _recorded(kerma_services: Kerma, stream: str, event: str) -> None:
    """Wait until a stream holds an event."""
    async with kerma_services.infra["jobs"].log.follow(stream, 0) as batches:
        async for batch in batches:
            if any(event in record.commit.types for record in batch):
                return


async def _ends(kerma_services: Kerma) -> list[int]:
    log = kerma_services.infra["jobs"].log
    return [(await log.state(stream)).last for stream in ("AUTH", "JOBS", "RESULTS")]


async def test_a_dry_run_counts_and_changes_nothing(
    kerma_services: Kerma, yaptide: Yaptide, url_file: Path
) -> None:
    yaptide.add_user("dry", PASSWORD)
    yaptide.add_job("dry", job_id="dry-1")
    before = await _ends(kerma_services)
    report = await moved(url_file, "--dry-run")
    assert report["dry_run"] is True
    assert counted(report, "taken")["Simulation"] == 1
    assert counted(report, "taken")["Page"] == 3
    assert await _ends(kerma_services) == before
    assert (await login(kerma_services.auth, "dry", PASSWORD)).status_code == 401
    ran = await kerma("admin", "import-yaptide", "--database-url", yaptide.url, "--dry-run")
    assert "could be taken" in ran.stdout
    assert "list of processes" in ran.stderr


async def test_jobs_that_had_not_ended_fail_or_wait_for_a_later_run(
    kerma_services: Kerma, yaptide: Yaptide, url_file: Path
) -> None:
    yaptide.add_user("busy", PASSWORD)
    running = yaptide.add_job("busy", "RUNNING", job_id="busy-1")
    report = await moved(url_file, "--leave-active", code=4)
    (left,) = report["skipped"]
    assert (left["id"], left["reason"]) == (running.number, "it has not ended")
    report = await moved(url_file)
    (changed,) = report["changed"]
    assert "RUNNING" in changed["reason"]
    visitor = await kerma_services.login("busy", PASSWORD)
    status = await visitor.get("/jobs", job_id=running.job_id)
    assert status["job_state"] == "FAILED"
    assert "its state was RUNNING" in status["message"]
    assert {task["task_state"] for task in status["job_tasks_status"]} == {"CANCELED"}
    (entry,) = (await visitor.get("/user/simulations"))["simulations"]
    assert entry["end_time"] is not None


async def test_the_story_and_rebuilt_read_models_show_imported_jobs(
    kerma_services: Kerma, yaptide: Yaptide, url_file: Path
) -> None:
    yaptide.add_user("story", PASSWORD)
    job = yaptide.add_job("story", job_id="story-1")
    await moved(url_file)
    told = (await kerma("story", job.job_id)).stdout
    assert told.index("ResultSetImported") < told.index("JobImported")
    log = kerma_services.infra["jobs"].log
    for stream in ("AUTH", "JOBS", "RESULTS"):
        messages = await _all(log, stream)
        assert messages
        assert not [text for text in messages if PASSWORD in text or "scrypt" in text]


async def _all(log: Any, stream: str) -> list[str]:
    end = (await log.state(stream)).last
    found: list[str] = []
    async with log.follow(stream, 0) as batches:
        async for batch in batches:
            records: list[Recorded] = list(batch)
            found += [repr(record) for record in records]
            if records[-1].seq >= end:
                return found
    return found
