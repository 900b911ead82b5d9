"""Rows 3.8, 3.10, 3.14, 3.16 and 3.17: jobs from their submission to their deletion."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from kit.programs.family import PATIENCE, eventually
from kit.running.clients.visitor import Visitor

JOB_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}DIRECT")
ALL = "PENDING,RUNNING,MERGING_QUEUED,MERGING_RUNNING,FAILED,COMPLETED,CANCELED"
"""The states that the UI's grid asks for."""


@contextmanager
def waiting(ada: Visitor, body: dict[str, Any], **changes: Any) -> Iterator[str]:
    """Have a job that waits for an engine which no worker offers."""
    made = ada.submit({**body, "sim_type": "fluka", **changes})
    try:
        yield made
    finally:
        assert delete(ada, "/jobs/direct", made).status_code == 200


def delete(ada: Visitor, path: str, job: str) -> httpx.Response:
    """Cancel or delete a job."""
    return ada.http.delete(path, params={"job_id": job})


def listed(ada: Visitor, **query: Any) -> list[dict[str, Any]]:
    """Return the entries of the list."""
    answer = ada.http.get("/user/simulations", params={"page_size": 1000, **query})
    assert answer.status_code == 200, answer.text
    entries: list[dict[str, Any]] = answer.json()["simulations"]
    return entries


def ids(ada: Visitor, **query: Any) -> list[str]:
    """Return the ids in the list."""
    return [entry["job_id"] for entry in listed(ada, **query)]


# 3.8


def test_submit_job_id(ada: Visitor, body: dict[str, Any]) -> None:
    with waiting(ada, body) as made:
        assert JOB_ID.fullmatch(made)


def test_submit_title_is_optional(ada: Visitor, body: dict[str, Any]) -> None:
    untitled = {name: value for name, value in body.items() if name != "title"}
    with waiting(ada, untitled) as made:
        assert next(e for e in listed(ada) if e["job_id"] == made)["title"] == ""


def test_submit_ignores_anything_else(ada: Visitor, body: dict[str, Any]) -> None:
    with waiting(ada, body, other={"a": 1}, batch_options={"array_header": 5}):
        pass


@pytest.mark.parametrize("kind", ["editor", "files"])
def test_submit_input_of_the_type_is_required(
    ada: Visitor, body: dict[str, Any], kind: str
) -> None:
    bare = {name: value for name, value in body.items() if name != "input_json"}
    answer = ada.http.post("/jobs/direct", json={**bare, "input_type": kind})
    assert answer.status_code == 400
    assert ("input_json" if kind == "editor" else "input_files") in answer.json()["message"]


@pytest.mark.parametrize("asked", ["Geant4", "GEANT4", "geant4"])
def test_submit_sim_type_in_any_case(ada: Visitor, body: dict[str, Any], asked: str) -> None:
    made = ada.submit({**body, "sim_type": asked})
    assert next(e for e in listed(ada) if e["job_id"] == made)["metadata"]["sim_type"] != "Geant4"
    ada.until(made, "COMPLETED")


@pytest.mark.parametrize("sim_type", ["", "dummy", "../geant4", "x" * 5000, 5, None])
def test_submit_unknown_sim_type(ada: Visitor, body: dict[str, Any], sim_type: object) -> None:
    """YAPTIDE accepts it, and the job never ends."""
    before = ids(ada)
    answer = ada.http.post("/jobs/direct", json={**body, "sim_type": sim_type})
    assert answer.status_code == 400
    assert "sim_type" in answer.text
    assert ids(ada) == before


@pytest.mark.parametrize("ntasks", [0, -1, 10_001, 10**30])
def test_submit_ntasks_out_of_bounds(ada: Visitor, body: dict[str, Any], ntasks: int) -> None:
    """YAPTIDE raises it to 1, and has no upper bound."""
    answer = ada.http.post("/jobs/direct", json={**body, "ntasks": ntasks})
    assert (answer.status_code, set(answer.json())) == (400, {"message", "ntasks"})


def test_submit_spreads_all_primaries(ada: Visitor, body: dict[str, Any]) -> None:
    """YAPTIDE drops the remainder."""
    with waiting(ada, body, ntasks=3) as made:
        tasks = ada.status(made)["job_tasks_status"]
        assert [task["requested_primaries"] for task in tasks] == [67, 67, 66]
        shown = ada.get("/inputs", made).json()["input"]
        assert shown["number_of_all_primaries"] == 200


@pytest.mark.parametrize("number", [None, "many", -5, 1.5])
def test_submit_project_without_primaries(
    ada: Visitor, body: dict[str, Any], number: object
) -> None:
    """YAPTIDE answers 500, and keeps a job that never disappears."""
    beam = {
        name: v for name, v in body["input_json"]["beam"].items() if name != "numberOfParticles"
    }
    beam |= {} if number is None else {"numberOfParticles": number}
    before = ids(ada)
    answer = ada.http.post(
        "/jobs/direct", json={**body, "input_json": {**body["input_json"], "beam": beam}}
    )
    assert answer.status_code == 400
    assert "numberOfParticles" in answer.json()["message"]
    assert ids(ada) == before


@pytest.mark.parametrize("files", [{}, {"notes.txt": "text"}, [], "text", {"run.mac": 5}])
def test_submit_files_that_no_engine_knows(ada: Visitor, files: object) -> None:
    """YAPTIDE accepts them, with no primaries."""
    said = {"sim_type": "geant4", "ntasks": 1, "input_type": "files", "input_files": files}
    answer = ada.http.post("/jobs/direct", json=said)
    assert answer.status_code == 400
    assert "input_files" in answer.text


def test_submit_is_visible_at_once(ada: Visitor, body: dict[str, Any]) -> None:
    """Whatever the UI asks next answers for the job."""
    with waiting(ada, body) as made:
        for path in ("/jobs", "/jobs/direct", "/inputs"):
            assert ada.get(path, made).status_code == 200
        query = {"page_idx": 1, "page_size": 10, "order_type": "descend", "order_by": "start_time"}
        assert ids(ada, **query, job_state=ALL)[0] == made


# 3.9


def test_status_of_a_job_that_waits(ada: Visitor, body: dict[str, Any]) -> None:
    with waiting(ada, body) as made:
        shown = ada.status(made)
        assert shown["job_state"] == "PENDING"
        for task in shown["job_tasks_status"]:
            absent = {"start_time", "end_time", "estimated_time"}
            assert not absent & set(task)
            assert parsedate_to_datetime(task["last_update_time"])
            assert (task["task_state"], task["simulated_primaries"]) == ("PENDING", 0)


# 3.10


def test_cancel_of_an_active_job(ada: Visitor, body: dict[str, Any]) -> None:
    with waiting(ada, body) as made:
        answer = delete(ada, "/jobs/direct", made)
        assert (answer.status_code, set(answer.json())) == (200, {"message"})
        shown = ada.status(made)
        assert shown["job_state"] == "CANCELED"
        assert {task["task_state"] for task in shown["job_tasks_status"]} == {"CANCELED"}
        assert made in ids(ada, job_state="CANCELED")


def test_cancel_sets_end_time(ada: Visitor, body: dict[str, Any]) -> None:
    """YAPTIDE never sets it; here it comes when the tasks have stopped."""
    with waiting(ada, body) as made:
        delete(ada, "/jobs/direct", made)

        def end() -> str | None:
            time: str | None = next(e for e in listed(ada) if e["job_id"] == made)["end_time"]
            return time

        assert parsedate_to_datetime(eventually(end, PATIENCE, "the end of the job"))


def test_cancel_with_a_bad_parameter(ada: Visitor, job: str) -> None:
    answer = ada.http.delete("/jobs/direct", params={"job_id": job, "q": "1"})
    assert (answer.status_code, answer.json()["q"]) == (400, ["Unknown field."])


# 3.14


def test_inputs_of_a_files_job(ada: Visitor, job: str) -> None:
    """The files of an editor job can be sent as they are, with all of its primaries."""
    files = ada.get("/inputs", job).json()["input"]["input_files"]
    said = {"sim_type": "geant4", "ntasks": 2, "input_type": "files", "input_files": files}
    made = ada.submit(said)
    shown = ada.get("/inputs", made).json()["input"]
    assert set(shown) == {"input_type", "input_files", "number_of_all_primaries"}
    assert (shown["input_type"], shown["number_of_all_primaries"]) == ("FILES", 200)
    assert shown["input_files"] == files
    assert ada.until(made, "COMPLETED")["job_tasks_status"][0]["requested_primaries"] == 100


# 3.16


def test_list_by_states(ada: Visitor, job: str, body: dict[str, Any]) -> None:
    with waiting(ada, body) as made:
        assert made in ids(ada, job_state="PENDING")
        assert made not in ids(ada, job_state="COMPLETED,FAILED")
        assert {made, job} <= set(ids(ada, job_state="PENDING,COMPLETED"))
        assert ids(ada, job_state="UNKNOWN") == []


@pytest.mark.parametrize("kind", ["ascend", "anything else", ""])
def test_list_ascends_unless_it_descends(ada: Visitor, job: str, kind: str) -> None:
    starts = [entry["start_time"] for entry in listed(ada, order_type=kind)]
    assert len(starts) > 1
    assert starts == sorted(starts, key=parsedate_to_datetime)


def test_list_by_end_time(ada: Visitor, job: str) -> None:
    ends = [entry["end_time"] for entry in listed(ada, order_by="end_time", job_state="COMPLETED")]
    assert ends == sorted(ends, key=parsedate_to_datetime, reverse=True)


def test_list_of_a_user_without_jobs(eve: httpx.Client) -> None:
    shown = eve.get("/user/simulations").json()
    assert (shown["page_count"], shown["simulations_count"], shown["simulations"]) == (0, 0, [])


def test_list_page_size_above_the_maximum(ada: Visitor, job: str) -> None:
    """YAPTIDE has no maximum."""
    answer = ada.http.get("/user/simulations", params={"page_size": 10**6})
    assert answer.status_code == 200
    assert len(answer.json()["simulations"]) == answer.json()["simulations_count"] <= 1000


# 3.17


def test_delete_of_an_active_job(ada: Visitor, body: dict[str, Any]) -> None:
    with waiting(ada, body) as made:
        answer = delete(ada, "/user/simulations", made)
        assert (answer.status_code, set(answer.json()) >= {"message"}) == (403, True)
        assert made in ids(ada)


def test_delete_removes_everything(ada: Visitor, body: dict[str, Any]) -> None:
    made = ada.submit(body)
    ada.until(made, "COMPLETED")
    answer = delete(ada, "/user/simulations", made)
    assert (answer.status_code, set(answer.json())) == (200, {"message"})
    assert made not in ids(ada)
    for path in ("/jobs", "/jobs/direct", "/inputs", "/estimators", "/results", "/logfiles"):
        gone = ada.get(path, made)
        assert gone.status_code == 404
        assert gone.json()["message"] == "Job with provided ID does not exist"


def test_delete_repeated(ada: Visitor, body: dict[str, Any]) -> None:
    """YAPTIDE answers 404; the UI sends a DELETE three times."""
    made = ada.submit({**body, "sim_type": "fluka"})
    assert delete(ada, "/jobs/direct", made).status_code == 200
    for _ in range(3):
        assert delete(ada, "/user/simulations", made).status_code == 200
    assert made not in ids(ada)
    assert ada.get("/jobs", made).status_code == 404
