"""Answers of the YAPTIDE paths: one test per rule, named after it."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from kit.running.clients.visitor import Visitor

ENTRY = {"job_id", "title", "start_time", "end_time", "metadata"}
TASK = {"task_id", "task_state", "requested_primaries", "simulated_primaries", "last_update_time"}


METHODS = {
    "/": "GET",
    "/auth/register": "PUT",
    "/auth/login": "POST",
    "/auth/refresh": "GET",
    "/auth/status": "GET",
    "/auth/logout": "DELETE",
    "/auth/keycloak": "DELETE POST",
    "/jobs": "GET POST",
    "/jobs/direct": "DELETE GET POST",
    "/jobs/batch": "DELETE GET POST",
    "/tasks": "POST",
    "/results": "GET POST",
    "/inputs": "GET",
    "/logfiles": "GET POST",
    "/estimators": "GET",
    "/user/simulations": "DELETE GET",
    "/user/update": "POST",
    "/clusters": "GET",
}


@pytest.mark.parametrize("path", list(METHODS))
def test_methods_of_the_18_paths(nobody: httpx.Client, path: str) -> None:
    answer = nobody.options(path)
    assert answer.status_code == 200
    allowed = {name.strip() for name in answer.headers["allow"].split(",")}
    assert allowed - {"HEAD", "OPTIONS"} == set(METHODS[path].split())
    assert ("HEAD" in allowed) == ("GET" in allowed)
    for method in {"GET", "POST", "PUT", "DELETE", "PATCH"} - allowed:
        assert nobody.request(method, path).status_code == 405


def test_the_hello_route(nobody: httpx.Client) -> None:
    answer = nobody.get("/")
    assert (answer.status_code, answer.json()) == (200, {"message": "Hello World!"})


def test_register_sets_no_cookie_and_refuses_a_taken_name(nobody: httpx.Client) -> None:
    name = {"username": "newcomer", "password": "long enough"}
    made = nobody.put("/auth/register", json=name)
    assert (made.status_code, set(made.json())) == (201, {"message"})
    assert "set-cookie" not in made.headers
    assert nobody.put("/auth/register", json=name).status_code == 403


@pytest.mark.parametrize("change", [{"extra": "key"}, {"username": 5}, {"password": None}])
def test_register_refuses_unknown_keys_and_other_types(
    nobody: httpx.Client, change: dict[str, Any]
) -> None:
    body = {"username": "someone", "password": "long enough", **change}
    answer = nobody.put("/auth/register", json=body)
    assert answer.status_code == 400
    assert next(iter(change)) in answer.json()


def test_login_answers_times_in_milliseconds_and_sets_both_cookies(
    nobody: httpx.Client, ada: Visitor
) -> None:
    name = {"username": "visitor", "password": "long enough for a test", "extra": "ignored"}
    before = time.time() * 1000
    answer = nobody.post("/auth/login", json=name)
    assert answer.status_code == 202
    body = answer.json()
    assert set(body) == {"message", "access_exp", "refresh_exp"}
    assert before + 9 * 60_000 < body["access_exp"] < before + 11 * 60_000
    assert before + 119 * 60_000 < body["refresh_exp"] < before + 121 * 60_000
    cookies = answer.headers.get_list("set-cookie")
    assert {cookie.partition("=")[0] for cookie in cookies} == {"access_token", "refresh_token"}
    for cookie in cookies:
        parts = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert {"httponly", "path=/", "samesite=lax"} <= parts
        assert any(part.startswith("expires=") for part in parts)
        assert not any(part.startswith(("domain", "max-age")) for part in parts)


def test_login_with_a_wrong_name_or_password(nobody: httpx.Client, ada: Visitor) -> None:
    answers = [
        nobody.post("/auth/login", json={"username": name, "password": "not this one"})
        for name in ("visitor", "nobody of this name")
    ]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].json() == answers[1].json()
    assert set(answers[0].json()) == {"message"}
    assert not nobody.cookies


@pytest.mark.parametrize("missing", ["username", "password"])
def test_login_with_a_missing_key(nobody: httpx.Client, missing: str) -> None:
    name = {"username": "visitor", "password": "not this one"}
    del name[missing]
    answer = nobody.post("/auth/login", json=name)
    assert answer.status_code == 400
    assert missing in answer.json()["message"]


@pytest.mark.parametrize("password", [5, None, [], {"a": "b"}])
def test_login_with_a_password_that_is_no_text(nobody: httpx.Client, password: object) -> None:
    """YAPTIDE answers 500."""
    answer = nobody.post("/auth/login", json={"username": "visitor", "password": password})
    assert answer.status_code == 400
    assert "password" in answer.json()


def test_refresh_does_not_prolong_a_session(nobody: httpx.Client, ada: Visitor) -> None:
    """The refresh cookie is another one, and ends when the first one does."""
    name = {"username": "visitor", "password": "long enough for a test"}
    end = nobody.post("/auth/login", json=name).json()["refresh_exp"]
    answer = nobody.get("/auth/refresh")
    (cookie,) = (c for c in answer.headers.get_list("set-cookie") if c.startswith("refresh_token"))
    expires = next(part for part in cookie.split(";") if part.strip().lower().startswith("expires"))
    shown = parsedate_to_datetime(expires.partition("=")[2]).timestamp()
    assert abs(shown - end / 1000) <= 1


def test_refresh_without_a_cookie(nobody: httpx.Client) -> None:
    answer = nobody.get("/auth/refresh")
    assert (answer.status_code, answer.json()) == (401, {"message": "No token provided"})


def test_auth_status_without_a_cookie(nobody: httpx.Client) -> None:
    answer = nobody.get("/auth/status")
    assert (answer.status_code, answer.json()) == (401, {"message": "No token provided"})


def test_refresh_sets_a_new_access_cookie(nobody: httpx.Client, ada: Visitor) -> None:
    nobody.post("/auth/login", json={"username": "visitor", "password": "long enough for a test"})
    before = nobody.cookies["access_token"]
    answer = nobody.get("/auth/refresh")
    assert (answer.status_code, set(answer.json())) == (200, {"message", "access_exp"})
    assert nobody.cookies["access_token"] != before


def test_auth_status_names_the_user(ada: Visitor) -> None:
    answer = ada.http.get("/auth/status")
    assert (answer.status_code, answer.json()["username"]) == (200, "visitor")


def test_logout_needs_no_session_and_clears_both_cookies(nobody: httpx.Client) -> None:
    answer = nobody.delete("/auth/logout")
    assert (answer.status_code, set(answer.json())) == (200, {"message"})
    cleared = answer.headers.get_list("set-cookie")
    assert {cookie.partition("=")[0] for cookie in cleared} == {"access_token", "refresh_token"}
    for cookie in cleared:
        assert "max-age=0" in cookie.lower()


def test_submit_answers_two_keys_and_a_direct_id(ada: Visitor, body: dict[str, Any]) -> None:
    answer = ada.http.post("/jobs/direct", json=body)
    assert (answer.status_code, set(answer.json())) == (202, {"message", "job_id"})
    assert answer.json()["job_id"].endswith("DIRECT")
    ada.until(answer.json()["job_id"], "COMPLETED")


@pytest.mark.parametrize(
    "change",
    [{"input_type": "EDITOR"}, {"ntasks": "2"}, {"ntasks": 2.5}, {"ntasks": None}, {"title": None}],
)
def test_submit_refuses_what_the_reference_refuses_or_falls_over(
    ada: Visitor, body: dict[str, Any], change: dict[str, Any]
) -> None:
    answer = ada.http.post("/jobs/direct", json={**body, **change})
    assert answer.status_code == 400
    assert next(iter(change)) in answer.text


def test_the_presence_of_input_files_decides(ada: Visitor, body: dict[str, Any]) -> None:
    """With both kinds of input and ``input_type`` files, the project is not converted."""
    both = {**body, "input_type": "files", "input_files": {"no engine knows.txt": "text"}}
    answer = ada.http.post("/jobs/direct", json=both)
    assert answer.status_code == 400
    assert "input_files" in answer.text or "file" in answer.json()["message"]


def test_more_tasks_than_primaries_are_lowered(ada: Visitor, body: dict[str, Any]) -> None:
    few = {**body, "input_json": {**body["input_json"]}, "ntasks": 50}
    few["input_json"]["beam"] = {**body["input_json"]["beam"], "numberOfParticles": 3}
    made = ada.submit(few)
    assert [t["requested_primaries"] for t in ada.status(made)["job_tasks_status"]] == [1, 1, 1]
    ada.http.delete("/jobs/direct", params={"job_id": made})


@pytest.mark.parametrize("path", ["/jobs", "/jobs/direct"])
def test_status_has_exactly_three_keys(ada: Visitor, job: str, path: str) -> None:
    status = ada.get(path, job).json()
    assert set(status) >= {"message", "job_state", "job_tasks_status"}
    assert set(status) <= {"message", "job_state", "job_tasks_status", "partial_results_available"}
    assert [task["task_id"] for task in status["job_tasks_status"]] == [0, 1]
    for task in status["job_tasks_status"]:
        assert set(task) >= TASK
        assert task["requested_primaries"] == task["simulated_primaries"]
        for key in ("last_update_time", "start_time", "end_time"):
            assert parsedate_to_datetime(task[key]).tzinfo is not None
            assert task[key].endswith("GMT")


def test_cancel_of_an_ended_job_is_harmless(ada: Visitor, job: str) -> None:
    for _ in range(2):
        answer = ada.http.delete("/jobs/direct", params={"job_id": job})
        assert (answer.status_code, answer.json()["job_state"]) == (200, "COMPLETED")


def test_inputs_keep_the_project_and_name_its_files(
    ada: Visitor, job: str, body: dict[str, Any]
) -> None:
    found = ada.get("/inputs", job).json()["input"]
    assert set(found) == {"input_type", "input_files", "number_of_all_primaries", "input_json"}
    assert found["input_type"] == "EDITOR"
    assert found["input_json"] == body["input_json"]
    assert all(isinstance(text, str) for text in found["input_files"].values())


def test_the_list_has_the_asserted_keys(ada: Visitor, job: str) -> None:
    listed = ada.http.get("/user/simulations", params={"page_size": 1000}).json()
    assert set(listed) == {"message", "page_count", "simulations_count", "simulations"}
    entry = next(e for e in listed["simulations"] if e["job_id"] == job)
    assert set(entry) == ENTRY
    assert set(entry["metadata"]) == {"platform", "server", "input_type", "sim_type"}
    assert entry["start_time"].endswith("GMT")


@pytest.mark.parametrize(
    ("given", "size"), [({}, 6), ({"page_size": 0}, 20), ({"page_size": -5}, 20)]
)
def test_page_sizes_and_their_defaults(
    ada: Visitor, job: str, given: dict[str, int], size: int
) -> None:
    listed = ada.http.get("/user/simulations", params=given).json()
    total = listed["simulations_count"]
    assert listed["page_count"] == -(-total // size)
    assert len(listed["simulations"]) == min(total, size)


def test_a_page_beyond_the_end_is_empty(ada: Visitor, job: str) -> None:
    beyond = ada.http.get("/user/simulations", params={"page_idx": 1000})
    assert (beyond.status_code, beyond.json()["simulations"]) == (200, [])
    first = ada.http.get("/user/simulations", params={"page_idx": 0}).json()
    assert first["simulations"] == ada.http.get("/user/simulations").json()["simulations"]


def test_the_order_is_descending_unless_something_else_is_said(ada: Visitor, job: str) -> None:
    def order(kind: str) -> list[str]:
        params = {"order_by": "start_time", "order_type": kind, "page_size": "1000"}
        listed = ada.http.get("/user/simulations", params=params).json()["simulations"]
        return [entry["job_id"] for entry in listed]

    assert order("descend") == order("ascend")[::-1]


def test_user_update_stores_nothing(ada: Visitor) -> None:
    answer = ada.http.post("/user/update", json={"anything": 1})
    assert (answer.status_code, set(answer.json())) == (202, {"message"})


def test_keycloak_not_set_up(nobody: httpx.Client) -> None:
    headers = {"Authorization": "Bearer a.b.c"}
    answer = nobody.post("/auth/keycloak", json={"username": "plgada"}, headers=headers)
    assert (answer.status_code, answer.json()) == (403, {"message": "Service is not available"})


def test_user_update_with_an_empty_object(ada: Visitor) -> None:
    answer = ada.http.post("/user/update", json={})
    assert (answer.status_code, "message" in answer.json()) == (400, True)
