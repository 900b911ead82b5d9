"""Keys of reports over HTTP: which are accepted, and what the others are told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from kerma_common.clock import system_clock
from kerma_common.commands.context import CommandContext
from kerma_common.contracts.subjects import job_subject
from kerma_common.infra import Infra
from kerma_common.security.update_keys import UpdateKeys, Verb, load_update_keys
from kerma_jobs.domain.commands import RevokeUpdateKeys
from kerma_jobs.domain.job import JOB
from kit.inputs.projects import submission
from kit.running.worlds.cluster import Script, run
from kit.running.worlds.jobs_world import as_user

pytestmark = pytest.mark.asyncio(loop_scope="module")
World = tuple[httpx.AsyncClient, Infra]


async def refused(script: Script, key: object, number: object, field: str) -> None:
    """Require that every report with this key and number is refused, naming the field."""
    one = {"simulation_id": number, "update_key": key}
    entry = {"task_id": 1, "update_dict": {"task_state": "RUNNING"}}
    bodies = {
        "/tasks": {**one, **entry},
        "/tasks/bulk": {**one, "tasks": [entry]},
        "/jobs": {"sim_id": number, "update_key": key, "job_state": "FAILED"},
    }
    before = await script.events()
    for path, body in bodies.items():
        answer = await script.post(path, body)
        assert answer.status_code == 400, (path, answer.text)
        named = "sim_id" if field == "simulation_id" and path == "/jobs" else field
        assert set(answer.json()) == {"message", named}, answer.text
        assert str(key) not in answer.text
    assert await script.events() == before


async def test_forged_key(script: Script) -> None:
    forger = UpdateKeys((bytes(32),), timedelta(days=7), system_clock)
    key, _ = forger.issue(script.job, script.number)
    await refused(script, key, script.number, "update_key")
    await refused(script, "x", script.number, "update_key")


async def test_stale_key(script: Script) -> None:
    own = load_update_keys(system_clock)
    key, _ = UpdateKeys(
        own.secrets, timedelta(days=7), lambda: datetime.now(UTC) - timedelta(days=8)
    ).issue(script.job, script.number)
    await refused(script, key, script.number, "update_key")


async def test_key_of_another_job(script: Script, world: World) -> None:
    other = await run(*world)
    await refused(script, other.key, script.number, "update_key")


async def test_string_simulation_id(script: Script) -> None:
    await refused(script, script.key, str(script.number), "simulation_id")


async def test_access_token_as_update_key(script: Script) -> None:
    # what the fixture accepts as an access token, and one in form
    await refused(script, "kc1", script.number, "update_key")
    token = "eyJhbGciOiJFZERTQSIsImtpZCI6ImsifQ.eyJzdWIiOiJ1In0." + "A" * 86
    await refused(script, token, script.number, "update_key")


async def test_key_of_another_verb(script: Script) -> None:
    keys = load_update_keys(system_clock)
    key, _ = keys.issue(script.job, script.number, frozenset({Verb.RESULTS}))
    await refused(script, key, script.number, "update_key")


async def test_unknown_simulation(script: Script) -> None:
    unknown = "20260101-000000-00000000-0000-0000-0000-000000000000BATCH"
    key, _ = load_update_keys(system_clock).issue(unknown, 987_654)
    await refused(script, key, 987_654, "simulation_id")


async def test_direct_job(script: Script, world: World) -> None:
    """Tasks of Kerma's own workers are none of a script's."""
    client, infra = world
    send = as_user(client)
    job = (await send("POST", "/jobs/direct", json=submission(10, 1))).json()["job_id"]
    number = (await infra.log.load(job_subject(job)))[0].seq
    key, _ = load_update_keys(system_clock).issue(job, number)
    await refused(script, key, number, "simulation_id")


async def test_revoked_key(script: Script) -> None:
    now = datetime.now(UTC)
    command = RevokeUpdateKeys(script.job, "op", now)
    context = CommandContext("op", ("revoke", script.job), "r", now)
    subject = job_subject(script.job)
    done = await script.infra.bus.execute(JOB, subject, command, context)
    assert await script.infra.positions.wait("jobs", "JOBS", done.seq, 10.0)
    await refused(script, script.key, script.number, "update_key")
    newer, _ = load_update_keys(system_clock).issue(script.job, script.number)
    await script.with_key(newer).said(1, task_state="RUNNING")


async def test_after_cancel(script: Script) -> None:
    await script.said(1, task_state="RUNNING")
    await script.send("DELETE", "/jobs/batch", params={"job_id": script.job})
    await refused(script, script.key, script.number, "update_key")
    assert (await script.states())[0] == "CANCELED"


async def test_after_delete(script: Script) -> None:
    for path in ("/jobs/batch", "/user/simulations"):
        done = await script.send("DELETE", path, params={"job_id": script.job})
        assert done.status_code == 200
    await refused(script, script.key, script.number, "simulation_id")


async def test_large_bodies_are_refused_before_they_are_read(script: Script) -> None:
    body = script.task_body(1, note="x" * 70_000)
    assert (await script.post("/tasks", body)).status_code == 413
