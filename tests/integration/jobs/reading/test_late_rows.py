"""While its rows are behind the log, the service never says that an accepted job does not exist."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from kerma_common.commands import lateness
from kerma_common.contracts.ids import UNKNOWN_JOB
from kerma_common.infra import Infra
from kit.inputs.projects import submission
from kit.running.worlds.cluster import run
from kit.running.worlds.held import held
from kit.running.worlds.jobs_world import as_user

pytestmark = pytest.mark.asyncio(loop_scope="module")

World = tuple[httpx.AsyncClient, Infra]
READS = {
    "GET /jobs": 200,
    "GET /jobs/direct": 200,
    "GET /inputs": 200,
    "GET /v1/jobs/{job}": 200,
    "GET /v1/jobs/{job}/tasks": 200,
    "GET /v1/jobs/{job}/tasks/1": 200,
    "GET /v1/jobs/{job}/inputs": 200,
    "HEAD /v1/jobs/{job}/events": 200,
    # in an order in which each finds the job as it must be
    "DELETE /jobs/direct": 200,
    "POST /v1/jobs/{job}/cancel": 200,
    "DELETE /user/simulations": 200,
    "DELETE /v1/jobs/{job}": 204,
}


async def ask(send: Any, operation: str, job: str) -> httpx.Response:
    method, path = operation.split()
    query = {} if "{job}" in path else {"job_id": job}
    answer: httpx.Response = await send(method, path.format(job=job), params=query)
    return answer


async def accepted(send: Any) -> str:
    answer = await send("POST", "/jobs/direct", json=submission(primaries=20, tasks=2))
    assert answer.status_code == 202, answer.text
    job: str = answer.json()["job_id"]
    return job


async def test_what_was_accepted_is_not_unknown_while_the_rows_are_behind(
    jobs: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, infra = jobs
    send = as_user(client)
    async with held(infra.db, "jobs"):
        job = await accepted(send)  # the write is durable
        monkeypatch.setattr(lateness, "PATIENCE_SECONDS", 0.05)
        for operation in READS:
            answer = await ask(send, operation, job)
            assert answer.status_code == 503, (operation, answer.text)
            assert answer.headers["Retry-After"] == "1"
        for unknown in ("20260801-101500-no-such-jobDIRECT", "*", ">", "a b"):
            for path in ("/jobs", "/inputs"):
                answer = await send("GET", path, params={"job_id": unknown})
                assert (answer.status_code, answer.json()["message"]) == (404, UNKNOWN_JOB)
    monkeypatch.undo()
    for operation, status in READS.items():
        answer = await ask(send, operation, job)
        assert answer.status_code == status, (operation, answer.text)
    assert (await send("GET", "/jobs", params={"job_id": job})).status_code == 404


@pytest.mark.parametrize("operation", ["GET /jobs", "GET /inputs", "GET /v1/jobs/{job}"])
async def test_a_read_waits_for_rows_that_come(
    jobs: World, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    client, infra = jobs
    send = as_user(client)
    monkeypatch.setattr(lateness, "PATIENCE_SECONDS", 60.0)
    async with held(infra.db, "jobs"):
        job = await accepted(send)
        asked = asyncio.create_task(ask(send, operation, job))
        done, _ = await asyncio.wait([asked], timeout=0.3)
        assert not done
    assert (await asked).status_code == 200


async def test_others_are_refused_as_ever(jobs: World) -> None:
    client, infra = jobs
    async with held(infra.db, "jobs"):
        job = await accepted(as_user(client))
        stranger = as_user(client)
        asked = asyncio.create_task(ask(stranger, "GET /inputs", job))
        await asyncio.sleep(0)
    assert (await asked).status_code == 403


async def test_a_report_on_a_job_that_is_not_shown_yet_is_not_refused_for_good(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, infra = world
    async with held(infra.db, "jobs"):
        script = await run(client, infra)
        monkeypatch.setattr(lateness, "PATIENCE_SECONDS", 0.05)
        answer = await script.task(1, task_state="RUNNING")
        assert answer.status_code == 503, answer.text
        assert answer.headers["Retry-After"] == "1"
    monkeypatch.undo()
    assert (await script.task(1, task_state="RUNNING")).status_code == 202
