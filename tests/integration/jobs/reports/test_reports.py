"""Reports of scripts over HTTP: one test per rule."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from kerma_common.infra import Infra
from kerma_jobs.domain.batch import MOST_ARRAYS
from kit.running.worlds.cluster import Script, run

pytestmark = pytest.mark.asyncio(loop_scope="module")
World = tuple[httpx.AsyncClient, Infra]
START = "2026-01-02 03:04:05.678901"
END = "2026-01-02 04:04:05.678901"


async def first(script: Script) -> dict[str, Any]:
    found: dict[str, Any] = (await script.status())["job_tasks_status"][0]
    return found


# POST /tasks: exactly simulation_id, task_id, update_key, update_dict


async def test_post_tasks_example_of_the_contract(script: Script) -> None:
    await script.said(
        1, task_state="RUNNING", start_time=START, simulated_primaries=5, estimated_time=3725
    )
    found = await first(script)
    assert found == {
        "task_id": 1,
        "task_state": "RUNNING",
        "requested_primaries": 10,
        "simulated_primaries": 5,
        "start_time": "Fri, 02 Jan 2026 03:04:05 GMT",
        "estimated_time": {"hours": 1, "minutes": 2, "seconds": 5},
        "last_update_time": found["last_update_time"],
    }
    assert (await script.status())["job_state"] == "RUNNING"


async def test_post_tasks_extra_key(script: Script) -> None:
    answer = await script.post("/tasks", {**script.task_body(1), "extra": 1})
    assert answer.status_code == 400
    assert answer.json()["extra"] == ["Unknown field."]


@pytest.mark.parametrize("key", ["simulation_id", "task_id", "update_key", "update_dict"])
async def test_post_tasks_missing_key(script: Script, key: str) -> None:
    body = script.task_body(1)
    del body[key]
    answer = await script.post("/tasks", body)
    assert answer.status_code == 400
    assert answer.json()[key]


@pytest.mark.parametrize("number", [0, 3, "3", -1])
async def test_post_tasks_unknown_task(script: Script, number: object) -> None:
    answer = await script.task(number, task_state="RUNNING")
    assert answer.status_code == 400
    assert answer.json()["task_id"]


async def test_post_tasks_numeric_string_task_id(script: Script) -> None:
    await script.said("2", task_state="RUNNING")
    assert await script.states() == ["RUNNING", "PENDING", "RUNNING"]


@pytest.mark.parametrize("number", [None, "x", 1.5, True, 10**30, [], "1\n"])
async def test_post_tasks_malformed_task_id(script: Script, number: object) -> None:
    assert (await script.task(number)).json()["task_id"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("task_state", "BANANA"),
        ("task_state", "MERGING_RUNNING"),
        ("task_state", 5),
        ("task_state", ["RUNNING"]),
        ("requested_primaries", -1),
        ("simulated_primaries", -5),
        ("simulated_primaries", 1.5),
        ("simulated_primaries", True),
        ("simulated_primaries", 2**60),
        ("estimated_time", -1),
        ("estimated_time", "soon"),
        ("estimated_time", 1e300),
        ("start_time", "2026-01-02T03:04:05.678901"),
        ("start_time", "2026-01-02 03:04:05.678901Z"),
        ("start_time", "2026-01-02 03:04:05+01:00"),
        ("start_time", "2026-13-02 03:04:05.678901"),
        ("start_time", "0001-01-02 03:04:05.678901"),
        ("end_time", 1767322800),
        ("end_time", True),
    ],
)
async def test_post_tasks_malformed_field(script: Script, field: str, value: object) -> None:
    answer = await script.task(1, **{field: value})
    assert answer.status_code == 400
    assert set(answer.json()) == {"message", f"update_dict.{field}"}
    assert await script.events() == ["JobSubmitted", "JobStarted"]


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'"x"', b"{", b"nan"])
async def test_post_body_not_json(script: Script, body: bytes) -> None:
    for path in ("/tasks", "/tasks/bulk", "/jobs"):
        assert (await script.client.post(path, content=body)).status_code == 400


async def test_post_tasks_time_with_zero_microseconds(script: Script) -> None:
    await script.said(1, task_state="RUNNING", start_time="2026-01-02 03:04:05")
    assert (await first(script))["start_time"] == "Fri, 02 Jan 2026 03:04:05 GMT"


# Task update rules


@pytest.mark.parametrize("end", ["COMPLETED", "FAILED", "CANCELED"])
async def test_once_ended_everything_is_ignored_and_answers_202(script: Script, end: str) -> None:
    await script.said(1, task_state=end, end_time=END, simulated_primaries=4)
    before = await first(script), await script.events()
    await script.said(1, task_state="RUNNING", simulated_primaries=9, end_time=START)
    await script.said(1, task_state="FAILED", celery_id="x")
    assert (await first(script), await script.events()) == before
    assert before[0]["task_state"] == end
    assert before[0]["simulated_primaries"] == (10 if end == "COMPLETED" else 4)
    assert before[0]["end_time"] == "Fri, 02 Jan 2026 04:04:05 GMT"


async def test_falsy_values_are_ignored(script: Script) -> None:
    await script.said(1, task_state="RUNNING", simulated_primaries=5)
    await script.said(1, task_state="", simulated_primaries=0, start_time=None, end_time="")
    assert (await first(script))["simulated_primaries"] == 5
    assert (await first(script))["task_state"] == "RUNNING"


async def test_counters_only_grow(script: Script) -> None:
    for simulated, shown in ((5, 5), (3, 5), (7, 7), (100, 10), (8, 10)):
        await script.said(1, simulated_primaries=simulated)
        assert (await first(script))["simulated_primaries"] == shown


async def test_completed_forces_simulated_to_requested(script: Script) -> None:
    await script.said(1, task_state="COMPLETED", requested_primaries=12, simulated_primaries=1)
    found = await first(script)
    assert (found["requested_primaries"], found["simulated_primaries"]) == (12, 12)
    assert found["start_time"]
    assert found["end_time"]


async def test_start_time_and_end_time_are_write_once(script: Script) -> None:
    await script.said(1, task_state="RUNNING", start_time=START, estimated_time=60)
    await script.said(1, start_time=END, end_time=END)
    await script.said(1, end_time=START, estimated_time=60)
    found = await first(script)
    assert found["start_time"] == "Fri, 02 Jan 2026 03:04:05 GMT"
    assert found["end_time"] == "Fri, 02 Jan 2026 04:04:05 GMT"
    assert "estimated_time" not in found


async def test_last_update_time_is_the_servers_on_every_update(script: Script) -> None:
    await script.said(1, task_state="RUNNING", start_time=START)
    shown = parsedate_to_datetime((await first(script))["last_update_time"])
    assert abs(datetime.now(UTC) - shown) < timedelta(seconds=60)


async def test_a_state_never_goes_back(script: Script) -> None:
    await script.said(1, task_state="RUNNING")
    await script.said(1, task_state="PENDING")
    assert await script.states() == ["RUNNING", "RUNNING", "PENDING"]


async def test_a_repetition_gets_the_same_answer_and_stores_no_second_event(script: Script) -> None:
    bodies = [
        ("/tasks", script.task_body(1, task_state="RUNNING", start_time=START)),
        ("/tasks", script.task_body(1, task_state="COMPLETED", end_time=END)),
        ("/jobs", {"sim_id": script.number, "update_key": script.key, "array_id": 11}),
        ("/jobs", {"sim_id": script.number, "update_key": script.key, "log": {"a": "b"}}),
        ("/tasks", script.task_body(2, task_state="COMPLETED")),
        ("/jobs", {"sim_id": script.number, "update_key": script.key, "job_state": "FAILED"}),
    ]
    for path, body in bodies:
        answers = [await script.post(path, body) for _ in range(3)]
        assert {a.status_code for a in answers} == {202}
        assert len({a.text for a in answers}) == 1
    counted = await script.events()
    for path, body in bodies:
        assert (await script.post(path, body)).status_code == 202
    assert await script.events() == counted
    assert counted.count("TasksReported") == 3
    assert counted.count("JobFailed") == 1


# POST /jobs


async def test_post_jobs_failed_with_log(script: Script) -> None:
    answer = await script.report(job_state="FAILED", log={"error": "no route to host"})
    assert answer.status_code == 202
    assert set(answer.json()) == {"message"}
    status = await script.status()
    assert status["job_state"] == "FAILED"
    assert "no route to host" in status["message"]
    assert "JobLogReported" in await script.events()


async def test_post_jobs_where_it_runs(script: Script) -> None:
    said = {"job_dir": "/scratch/u/run1", "array_id": 11, "collect_id": 12, "ignored": "x"}
    assert (await script.report(**said)).status_code == 202
    assert (await script.events())[-1] == "JobArraysReported"


async def test_post_jobs_places_change_a_bounded_number_of_times(script: Script) -> None:
    for number in range(1, 100):
        assert (await script.report(array_id=number)).status_code == 202
    assert (await script.events()).count("JobArraysReported") == MOST_ARRAYS


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("job_state", "BANANA"),
        ("job_state", 5),
        ("end_time", "yesterday"),
        ("job_dir", "/scratch/../etc"),
        ("job_dir", "relative"),
        ("job_dir", "/scratch/$(id)"),
        ("job_dir", "/"),
        ("array_id", -1),
        ("collect_id", "12; rm"),
        ("log", "text"),
        ("log", {"x" * 500: ""}),
    ],
)
async def test_post_jobs_malformed_field(script: Script, field: str, value: object) -> None:
    answer = await script.report(**{field: value})
    assert answer.status_code == 400
    assert set(answer.json()) == {"message", field}


@pytest.mark.parametrize("key", ["sim_id", "update_key"])
async def test_post_jobs_missing_key(script: Script, key: str) -> None:
    body = {"sim_id": script.number, "update_key": script.key}
    del body[key]
    assert (await script.post("/jobs", body)).json()[key]


# Many at once


async def test_32_concurrent_writers_lose_nothing(world: World) -> None:
    script = await run(*world, tasks=32, primaries=3200)

    async def write(number: int) -> None:
        await script.said(number, task_state="RUNNING", start_time=START)
        for simulated in range(10, 100, 10):
            await script.said(number, simulated_primaries=simulated + number % 10)
        if number % 2:
            await script.said(number, task_state="COMPLETED", end_time=END)

    await asyncio.gather(*(write(number) for number in range(1, 33)))
    tasks = (await script.status())["job_tasks_status"]
    for task in tasks:
        number = task["task_id"]
        assert task["task_state"] == ("COMPLETED" if number % 2 else "RUNNING")
        assert task["simulated_primaries"] == (100 if number % 2 else 90 + number % 10)
        assert task["start_time"] == "Fri, 02 Jan 2026 03:04:05 GMT"
    # they share commits
    assert (await script.events()).count("TasksReported") < 48


async def test_writers_of_one_task_end_it_once(world: World) -> None:
    script = await run(*world, tasks=2, primaries=20)
    answers = await asyncio.gather(
        *(script.task(1, task_state=state) for state in ["COMPLETED", "FAILED"] * 16)
    )
    assert {answer.status_code for answer in answers} == {202}
    assert (await script.events()).count("TasksReported") == 1
