"""Rows of section 4 on tasks, jobs and logs: what scripts on a cluster report."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from kit.programs.family import PATIENCE, eventually
from kit.running.clients.script import Script, Scripts, accepted

START, END = "2026-01-02 03:04:05.678901", "2026-01-02 04:04:05.678901"
SHOWN_START, SHOWN_END = "Fri, 02 Jan 2026 03:04:05 GMT", "Fri, 02 Jan 2026 04:04:05 GMT"
RUNNING = {"task_state": "RUNNING", "simulated_primaries": 5}
BODIES: dict[str, dict[str, Any]] = {
    "/tasks": {"task_id": 1, "update_dict": {}},
    "/tasks/bulk": {"tasks": [{"task_id": 1, "update_dict": {}}]},
    "/jobs": {},
    "/results": {"estimators": []},
    "/logfiles": {"logfiles": {"a.log": "text"}},
}
"""A body for each path, without the job and its key."""


def sent(script: Script, path: str, number: object, key: object) -> httpx.Response:
    """Post the body of a path under a number and key."""
    name = "sim_id" if path == "/jobs" else "simulation_id"
    return script.http.post(path, json={name: number, "update_key": key, **BODIES[path]})


def other_key(script: Script) -> str:
    """Return the key with another signature."""
    head, _, signature = script.key.rpartition(".")
    return f"{head}.{signature[::-1]}"


@pytest.mark.parametrize("path", list(BODIES))
def test_callback_bad_key(waiting: Script, path: str) -> None:
    for key in ("x", "", None, 5, other_key(waiting)):
        answer = sent(waiting, path, waiting.number, key)
        assert answer.status_code == 400
        assert set(answer.json()) == {"message", "update_key"}


@pytest.mark.parametrize("path", list(BODIES))
def test_callback_of_another_job(waiting: Script, path: str) -> None:
    answer = sent(waiting, path, waiting.number + 1, waiting.key)
    assert (answer.status_code, set(answer.json())) == (400, {"message", "update_key"})


@pytest.mark.parametrize("path", list(BODIES))
def test_callback_string_simulation_id(waiting: Script, path: str) -> None:
    answer = sent(waiting, path, str(waiting.number), waiting.key)
    name = "sim_id" if path == "/jobs" else "simulation_id"
    assert (answer.status_code, set(answer.json())) == (400, {"message", name})


@pytest.mark.parametrize("path", list(BODIES))
def test_callback_wrong_key_kind(waiting: Script, path: str) -> None:
    """YAPTIDE answers 500 to an access token in place of an update key."""
    token = waiting.owner.cookies["access_token"]
    answer = sent(waiting, path, waiting.number, token)
    assert (answer.status_code, set(answer.json())) == (400, {"message", "update_key"})


def test_update_key_as_access_token(waiting: Script) -> None:
    """YAPTIDE answers 500."""
    headers = {"Cookie": f"access_token={waiting.key}"}
    assert waiting.http.get("/user/simulations", headers=headers).status_code == 403


@pytest.mark.parametrize("path", list(BODIES))
def test_callback_after_cancel(script: Script, path: str) -> None:
    """YAPTIDE stores and serves results of a cancelled job."""
    script.cancel()
    answer = sent(script, path, script.number, script.key)
    assert answer.status_code == (409 if path in {"/results", "/logfiles"} else 400)
    assert answer.json()["message"]


@pytest.mark.parametrize("path", list(BODIES))
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"x"', b"{}"])
def test_callback_body_not_an_object(waiting: Script, path: str, content: bytes) -> None:
    answer = waiting.http.post(path, content=content)
    assert answer.status_code == 400
    assert answer.json()["message"]


@pytest.mark.parametrize("path", ["/tasks", "/results", "/logfiles"])
def test_callback_extra_key(waiting: Script, path: str) -> None:
    answer = waiting.post(path, **BODIES[path], extra=1)
    assert answer.status_code == 400
    assert "extra" in answer.json()


@pytest.mark.parametrize("path", ["/tasks", "/results", "/logfiles"])
def test_callback_missing_key(waiting: Script, path: str) -> None:
    for missing in ["simulation_id", "update_key", *BODIES[path]]:
        body = {**waiting.named, **BODIES[path]}
        del body[missing]
        answer = waiting.http.post(path, json=body)
        assert answer.status_code == 400
        assert missing in answer.json(), answer.text


def test_tasks_example(script: Script) -> None:
    said = {**RUNNING, "start_time": START, "estimated_time": 3725}
    accepted(script.task(1, **said))
    task = script.first()
    assert parsedate_to_datetime(task.pop("last_update_time"))
    assert task == {
        "task_id": 1,
        "task_state": "RUNNING",
        "requested_primaries": 10,
        "simulated_primaries": 5,
        "start_time": SHOWN_START,
        "estimated_time": {"hours": 1, "minutes": 2, "seconds": 5},
    }


@pytest.mark.parametrize("number", [0, 3, "3"])
def test_tasks_unknown_task(waiting: Script, number: object) -> None:
    answer = waiting.task(number, **RUNNING)
    assert (answer.status_code, set(answer.json())) == (400, {"message", "task_id"})


def test_tasks_numeric_string_task_id(script: Script) -> None:
    accepted(script.task("2", **RUNNING))
    assert script.states() == ["RUNNING", "PENDING", "RUNNING"]


def test_tasks_any_state(waiting: Script) -> None:
    """YAPTIDE stores any text."""
    answer = waiting.task(1, task_state="BANANA")
    assert (answer.status_code, set(answer.json())) == (400, {"message", "update_dict.task_state"})


@pytest.mark.parametrize("end", ["COMPLETED", "FAILED", "CANCELED"])
def test_tasks_once_ended(script: Script, end: str) -> None:
    accepted(script.task(1, task_state=end, simulated_primaries=4))
    before = script.first()
    accepted(script.task(1, task_state="RUNNING", simulated_primaries=9, celery_id="x"))
    assert script.first() == before
    assert before["task_state"] == end


def test_tasks_falsy_values(script: Script) -> None:
    accepted(script.task(1, **RUNNING))
    accepted(script.task(1, task_state="", simulated_primaries=0))
    task = script.first()
    assert (task["task_state"], task["simulated_primaries"]) == ("RUNNING", 5)


def test_tasks_negative_and_decreasing_values(script: Script) -> None:
    """YAPTIDE stores both."""
    accepted(script.task(1, **RUNNING))
    accepted(script.task(1, simulated_primaries=3))
    answer = script.task(1, simulated_primaries=-1)
    assert answer.status_code == 400
    assert script.first()["simulated_primaries"] == 5


def test_tasks_completed_forces_primaries(script: Script) -> None:
    accepted(script.task(1, task_state="COMPLETED", requested_primaries=12, simulated_primaries=1))
    task = script.first()
    assert task["simulated_primaries"] == task["requested_primaries"] == 12


def test_tasks_times_are_write_once(script: Script) -> None:
    accepted(script.task(1, **RUNNING, start_time=START, estimated_time=9))
    accepted(script.task(1, start_time=END, end_time=END))
    accepted(script.task(1, end_time=START, estimated_time=9))
    task = script.first()
    assert (task["start_time"], task["end_time"]) == (SHOWN_START, SHOWN_END)
    assert "estimated_time" not in task


@pytest.mark.parametrize(
    "text", ["2026-01-02T03:04:05.678901", "2026-01-02 03:04:05.678901Z", "yesterday"]
)
def test_tasks_malformed_time(waiting: Script, text: str) -> None:
    """YAPTIDE answers 500."""
    answer = waiting.task(1, start_time=text)
    assert (answer.status_code, set(answer.json())) == (400, {"message", "update_dict.start_time"})


def test_tasks_time_without_fraction(script: Script) -> None:
    """YAPTIDE answers 500."""
    accepted(script.task(1, **RUNNING, start_time="2026-01-02 03:04:05"))
    assert script.first()["start_time"] == SHOWN_START


def test_tasks_only_celery_id(script: Script) -> None:
    before = script.states()
    accepted(script.task(1, celery_id="an id"))
    assert script.states() == before


def test_tasks_bulk(script: Script) -> None:
    """YAPTIDE leaves out wrong entries in silence."""
    told = [{"task_id": number, "update_dict": RUNNING} for number in (1, 7, 2)]
    answer = script.post("/tasks/bulk", tasks=told)
    assert answer.status_code == 202, answer.text
    assert set(answer.json()) == {"message", "refused_entries", "refused"}
    assert (answer.json()["refused_entries"], list(answer.json()["refused"])) == (
        1,
        ["tasks.1.task_id"],
    )
    assert script.states() == ["RUNNING", "RUNNING", "RUNNING"]


def test_jobs_failed_with_log(script: Script) -> None:
    accepted(script.report(job_state="FAILED", log={"error": "no route to host"}))
    assert script.status()["job_state"] == "FAILED"
    # another service keeps logs, and follows
    eventually(lambda: script.get("/logfiles").status_code == 200, PATIENCE, "a log")
    logs = script.get("/logfiles").json()["logfiles"]
    assert any("no route to host" in text for text in logs.values())


def test_jobs_where_it_runs(script: Script) -> None:
    accepted(script.report(job_dir="/scratch/u/run1", array_id=11, collect_id=12, other="x"))
    answer = script.report(job_dir="/scratch/../etc")
    assert (answer.status_code, set(answer.json())) == (400, {"message", "job_dir"})


@pytest.mark.parametrize("path", list(BODIES))
def test_callback_unknown_simulation(waiting: Script, scripts: Scripts, path: str) -> None:
    """YAPTIDE answers 501 on ``/jobs``."""
    job = "20260101-000000-00000000-0000-0000-0000-000000000000BATCH"
    answer = sent(waiting, path, 10**9, scripts.key(job, 10**9))
    assert answer.status_code == 400
    number = "sim_id" if path == "/jobs" else "simulation_id"
    assert set(answer.json()) == {"message", number}


def test_logfiles_append(script: Script) -> None:
    """YAPTIDE serves the first ones for ever."""
    accepted(script.post("/logfiles", logfiles={"shieldhit_0001.log": "first"}))
    accepted(script.post("/logfiles", logfiles={"shieldhit_0002.log": "second"}))
    logs = script.get("/logfiles").json()["logfiles"]
    assert sorted(text.strip() for text in logs.values()) == ["first", "second"]
