"""``POST /tasks/bulk``: entries one by one, bodies of all tasks of a job, both from many at once."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import httpx
import orjson
import pytest

from kerma_common.clock import system_clock
from kerma_common.commands.context import CommandContext
from kerma_common.contracts.subjects import job_subject
from kerma_common.http.body.heads import LATE, TWICE
from kerma_common.http.body.json_body import LARGE
from kerma_common.infra import Infra
from kerma_jobs.api.bulk_reports import MOST_BYTES, MOST_NAMED, MOST_WAITING
from kerma_jobs.api.report_fields import MOST_UNKNOWN
from kerma_jobs.app.submission import MAX_TASKS
from kerma_jobs.domain.commands import RevokeUpdateKeys
from kerma_jobs.domain.job import JOB
from kit.running.worlds.cluster import Script, run

pytestmark = pytest.mark.asyncio(loop_scope="module")
World = tuple[httpx.AsyncClient, Infra]
JSON = {"Content-Type": "application/json"}
NO_SUCH_TASK = ["The simulation has no such task."]


def body_of(script: Script, tasks: object) -> dict[str, Any]:
    return {"simulation_id": script.number, "update_key": script.key, "tasks": tasks}


def entry(number: object, **said: object) -> dict[str, object]:
    return {"task_id": number, "update_dict": said}


async def post(script: Script, *tasks: object) -> httpx.Response:
    return await script.post("/tasks/bulk", body_of(script, tasks))


async def test_entries_that_are_wrong_are_refused_alone(script: Script) -> None:
    answer = await post(
        script,
        entry(0, task_state="RUNNING"),
        entry(1, task_state="RUNNING", simulated_primaries=3),
        entry(2, task_state="BANANA"),
        entry("2", task_state="RUNNING"),
        entry(MAX_TASKS + 1, task_state="RUNNING"),
        entry(None),
        {"task_id": 1},
        {},
        5,
        {**entry(2), "extra": 1},
    )
    assert answer.status_code == 202
    assert set(answer.json()) == {"message", "refused", "refused_entries"}
    refused = answer.json()["refused"]
    assert answer.json()["refused_entries"] == 8
    missing = ["Missing data for required field."]
    assert refused.pop("tasks.5.task_id")[0].startswith("Must be a number")
    assert refused.pop("tasks.2.update_dict.task_state")[0].startswith("Must be one of")
    assert refused == {
        "tasks.0.task_id": NO_SUCH_TASK,
        "tasks.4.task_id": NO_SUCH_TASK,
        "tasks.6.update_dict": missing,
        "tasks.7.task_id": missing,
        "tasks.7.update_dict": missing,
        "tasks.8": ["Not an object."],
        "tasks.9.extra": ["Unknown field."],
    }
    assert await script.states() == ["RUNNING", "RUNNING", "RUNNING"]
    assert await script.events() == ["JobSubmitted", "JobStarted", "TasksReported"]


async def test_tasks_that_the_job_has_not_are_skipped(script: Script) -> None:
    answer = await post(script, *(entry(number) for number in range(50, 50 + 2 * MOST_NAMED)))
    assert answer.status_code == 202
    assert answer.json()["refused_entries"] == 2 * MOST_NAMED
    assert len(answer.json()["refused"]) == MOST_NAMED


async def test_a_body_without_an_entry_that_can_be_read_is_refused(script: Script) -> None:
    wrong = await post(script, entry(2, task_state="?"))
    assert wrong.status_code == 400
    assert wrong.json()["tasks.0.update_dict.task_state"]
    malformed: tuple[object, ...] = (None, {}, [5], [{"task_id": 1}], [{}] * (MAX_TASKS + 1))
    for tasks in malformed:
        assert (await script.post("/tasks/bulk", body_of(script, tasks))).status_code == 400
    assert set((await post(script)).json()) == {"message"}
    assert await script.events() == ["JobSubmitted", "JobStarted"]


@pytest.mark.parametrize("gzipped", [False, True])
async def test_one_body_reports_on_every_task_of_the_largest_job(
    world: World, *, gzipped: bool
) -> None:
    script = await run(*world, tasks=MAX_TASKS, primaries=MAX_TASKS * 10)
    said = {
        "task_state": "COMPLETED",
        "requested_primaries": 10,
        "simulated_primaries": 10,
        "estimated_time": 316223999.5,
        "start_time": "2026-01-02 03:04:05.678901",
        "end_time": "2026-01-02 03:04:05.678901",
    }
    tasks = [entry(str(number), **said) for number in range(1, MAX_TASKS + 1)]
    body = orjson.dumps(body_of(script, tasks))
    assert LARGE < len(body) < MOST_BYTES
    headers = {**JSON, **({"Content-Encoding": "gzip"} if gzipped else {})}
    sent = gzip.compress(body) if gzipped else body
    answer = await script.client.post("/tasks/bulk", content=sent, headers=headers)
    assert (answer.status_code, set(answer.json())) == (202, {"message"})
    states = await script.states()
    assert states[0] == "MERGING_QUEUED"
    assert states[1:] == ["COMPLETED"] * MAX_TASKS


async def test_a_body_beyond_the_limit_is_refused(script: Script) -> None:
    async def endless() -> Any:
        yield orjson.dumps(body_of(script, []))
        while True:
            yield b" " * 65536

    for content in (b" " * (MOST_BYTES + 1), endless()):
        answer = await script.client.post("/tasks/bulk", content=content, headers=JSON)
        assert answer.status_code == 413
        assert answer.json()["message"] == f"The body is larger than {MOST_BYTES} bytes"


def large(script: Script, **members: object) -> dict[str, Any]:
    return {**body_of(script, [entry(1, simulated_primaries=3) for _ in range(2000)]), **members}


async def send(script: Script, content: Any) -> httpx.Response:
    return await script.client.post("/tasks/bulk", content=content, headers=JSON)


async def test_members_of_entries_are_not_taken_for_those_of_the_body(script: Script) -> None:
    strange = {"simulation_id": 7, "update_key": "x.y.z", "task_state": "RUNNING"}
    body = large(script)
    body["tasks"].append(entry(1, **strange))
    first = {"tasks": [entry(1, **strange)], **body_of(script, [])}
    for members in (body, first):
        answer = await send(script, orjson.dumps(members))
        assert (answer.status_code, set(answer.json())) == (202, {"message"})


async def test_a_key_behind_a_large_list_is_refused_with_the_reason(script: Script) -> None:
    body = dict(reversed(large(script).items()))
    answer = await send(script, orjson.dumps(body))
    assert answer.status_code == 400
    assert answer.json()["update_key"] == [LATE]


async def test_a_member_of_a_large_body_comes_once(script: Script, world: World) -> None:
    other = await run(*world)
    body = orjson.dumps(large(script))
    for name, value in (("update_key", other.key), ("simulation_id", other.number), ("tasks", [])):
        more = b"," + orjson.dumps({name: value})[1:]
        answer = await send(script, body[:-1] + more)
        assert (answer.status_code, answer.json()[name]) == (400, [TWICE])


async def test_of_many_unknown_members_some_are_named(script: Script) -> None:
    more = {f"x{number}": 1 for number in range(50_000)}
    answer = await send(script, orjson.dumps({**large(script), **more}))
    assert answer.status_code == 400
    assert answer.json()["body"] == [f"Has {50_000 - MOST_UNKNOWN} more unknown fields."]
    assert len(answer.json()) == MOST_UNKNOWN + 2
    answer = await send(script, orjson.dumps(large(script, tasks=[{**entry(1), **more}, entry(2)])))
    assert answer.status_code == 202
    assert answer.json()["refused_entries"] == 1
    assert len(answer.json()["refused"]) == MOST_NAMED
    answer = await send(script, orjson.dumps(large(script, tasks=more)))
    assert (answer.status_code, set(answer.json())) == (400, {"message", "tasks"})


async def test_a_revoked_key_is_refused_before_the_body_has_come(script: Script) -> None:
    now = system_clock()
    command = RevokeUpdateKeys(script.job, "op", now)
    context = CommandContext("op", ("revoke", script.job), "r", now)
    subject = job_subject(script.job)
    done = await script.infra.bus.execute(JOB, subject, command, context)
    assert await script.infra.positions.wait("jobs", "JOBS", done.seq, 10.0)
    body = orjson.dumps(large(script)) + b"{ no JSON"
    sent = 0

    async def pieces() -> Any:
        nonlocal sent
        for start in range(0, len(body), 4096):
            sent = start
            yield body[start : start + 4096]

    answer = await send(script, pieces())
    assert (answer.status_code, answer.json()["update_key"]) == (400, ["The key was revoked."])
    assert sent <= LARGE
    for tasks in ([], [entry(1, task_state="?")]):
        answer = await script.post("/tasks/bulk", body_of(script, tasks))
        assert (answer.status_code, answer.json()["update_key"]) == (400, ["The key was revoked."])


async def test_a_large_body_is_not_read_for_others_than_a_job(script: Script) -> None:
    tasks = [entry(1, simulated_primaries=3) for _ in range(MAX_TASKS)]
    for wrong in (
        {"update_key": "x.y.z"},
        {"update_key": script.key[:-2]},
        {"simulation_id": script.number + 1},
        {"update_key": None},
    ):
        body = orjson.dumps({**body_of(script, tasks), **wrong}) + b"{ no JSON"
        answer = await script.client.post("/tasks/bulk", content=body, headers=JSON)
        assert answer.status_code == 400
        assert answer.json()["update_key"]


async def test_large_bodies_of_a_job_wait_for_each_other(world: World) -> None:
    script, other = await run(*world, tasks=500), await run(*world, tasks=500)
    many = [entry(number % 500 + 1, simulated_primaries=1) for number in range(4000)]
    answers = await asyncio.gather(
        *(post(script, *many) for _ in range(2 * MOST_WAITING)), post(other, *many)
    )
    *own, others = [answer.status_code for answer in answers]
    assert own.count(202) >= MOST_WAITING
    assert set(own) <= {202, 503}
    assert others == 202
