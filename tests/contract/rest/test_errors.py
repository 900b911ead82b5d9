"""Refusals of the YAPTIDE paths: one test per mistake of a client, named after it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from kit.programs.family import PATIENCE, eventually
from kit.running.clients.browsers import as_operator
from kit.running.clients.command_line import run
from kit.running.clients.visitor import Visitor
from kit.running.whole import Whole

UNKNOWN = "20260101-000000-00000000-0000-0000-0000-000000000000DIRECT"
BY_JOB = [
    ("GET", "/jobs"),
    ("GET", "/jobs/direct"),
    ("DELETE", "/jobs/direct"),
    ("GET", "/inputs"),
    ("GET", "/estimators"),
    ("GET", "/results"),
    ("GET", "/logfiles"),
    ("DELETE", "/user/simulations"),
]
"""Routes that name a job in the query."""


def test_no_auth_cookie(nobody: httpx.Client) -> None:
    answer = nobody.get("/user/simulations")
    assert (answer.status_code, answer.json()) == (401, {"message": "No token provided"})


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."])
def test_access_cookie_bad(nobody: httpx.Client, token: str) -> None:
    answer = nobody.get("/user/simulations", headers={"Cookie": f"access_token={token}"})
    assert answer.status_code == (403 if token else 401)
    assert answer.json()["message"]


def test_refresh_cookie_bad(nobody: httpx.Client) -> None:
    answer = nobody.get("/auth/refresh", headers={"Cookie": "refresh_token=of nobody"})
    assert answer.status_code == 403
    assert "log in" in answer.json()["message"].lower()


def test_token_fine_user_row_gone(kerma: Whole, nobody: httpx.Client) -> None:
    who = {"username": "gone tomorrow", "password": "another long password"}
    assert nobody.put("/auth/register", json=who).status_code == 201
    assert nobody.post("/auth/login", json=who).status_code == 202
    with as_operator(kerma):
        ran = run("admin", "users", "remove", who["username"])
    assert ran.code == 0, ran.stderr
    eventually(lambda: nobody.get("/user/simulations").status_code == 403, PATIENCE, "its end")
    for path in ("/user/simulations", "/auth/status"):
        answer = nobody.get(path)
        assert (answer.status_code, set(answer.json())) == (403, {"message"})
    assert nobody.post("/auth/login", json=who).status_code == 401


@pytest.mark.parametrize("path", ["/auth/login", "/auth/register", "/jobs/direct", "/user/update"])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"no json"])
def test_body_not_json_or_empty(ada: Visitor, path: str, content: bytes) -> None:
    method = "PUT" if path == "/auth/register" else "POST"
    answer = ada.http.request(method, path, content=content)
    assert answer.status_code == 400
    assert answer.json()["message"]


@pytest.mark.parametrize(
    "path", ["/auth/login", "/auth/keycloak", "/jobs", "/jobs/direct", "/user/update"]
)
def test_body_is_json_but_falsy(ada: Visitor, path: str) -> None:
    answer = ada.http.post(path, json={})
    assert answer.status_code == 400
    assert answer.json()["message"]


@pytest.mark.parametrize("path", ["/auth/login", "/jobs/direct", "/user/update"])
@pytest.mark.parametrize("content", [[], "text", [{}], 5, None])
def test_body_is_a_json_list_or_string(ada: Visitor, path: str, content: object) -> None:
    """YAPTIDE answers 500."""
    answer = ada.http.post(path, json=content)
    assert answer.status_code == 400
    assert answer.json()["message"]


@pytest.mark.parametrize("key", ["sim_type", "ntasks", "input_type", "input_json"])
def test_required_body_key_missing(ada: Visitor, body: dict[str, Any], key: str) -> None:
    answer = ada.http.post("/jobs/direct", json={k: v for k, v in body.items() if k != key})
    assert answer.status_code == 400
    assert key in answer.json()["message"]


def test_bad_or_unknown_query_parameter(ada: Visitor, job: str) -> None:
    answer = ada.http.get("/jobs", params={"job_id": job, "q": "1"})
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("Wrong parameters")
    assert answer.json()["q"] == ["Unknown field."]
    answer = ada.http.get("/results", params={"job_id": job, "page_number": "first"})
    assert answer.status_code == 400
    assert isinstance(answer.json()["page_number"][0], str)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("foo", "1"),
        ("page_size", "many"),
        ("page_idx", "1.5"),
        ("order_by", "owner"),
        ("job_state", "BANANA"),
        ("job_state", ""),
    ],
)
def test_the_same_on_the_list(ada: Visitor, name: str, value: str) -> None:
    """YAPTIDE answers 500 and echoes the query."""
    answer = ada.http.get("/user/simulations", params={name: value})
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("Wrong parameters")
    assert isinstance(answer.json()[name][0], str)


@pytest.mark.parametrize(("method", "path"), BY_JOB)
def test_missing_job_id(ada: Visitor, method: str, path: str) -> None:
    """YAPTIDE answers 500."""
    answer = ada.http.request(method, path)
    assert answer.status_code == 400
    assert "job_id" in answer.json()


@pytest.mark.parametrize(("method", "path"), BY_JOB)
def test_job_unknown(ada: Visitor, method: str, path: str) -> None:
    answer = ada.http.request(method, path, params={"job_id": UNKNOWN})
    expected = {"message": "Job with provided ID does not exist"}
    assert answer.status_code == 404
    assert answer.json()["message"] == expected["message"]


@pytest.mark.parametrize(("method", "path"), BY_JOB)
def test_job_of_another_user(eve: httpx.Client, job: str, method: str, path: str) -> None:
    answer = eve.request(method, path, params={"job_id": job})
    assert answer.status_code == 403
    assert set(answer.json()) == {"message"}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/user/simulations", {"GET", "DELETE"}),
        ("PUT", "/auth/login", {"POST"}),
        ("PATCH", "/jobs/direct", {"GET", "POST", "DELETE"}),
        ("DELETE", "/inputs", {"GET"}),
    ],
)
def test_method_not_allowed_on_a_known_path(
    nobody: httpx.Client, method: str, path: str, allowed: set[str]
) -> None:
    answer = nobody.request(method, path)
    assert answer.status_code == 405
    assert answer.json()["message"]
    assert {name.strip() for name in answer.headers["allow"].split(",")} >= allowed


@pytest.mark.parametrize("path", ["/nowhere", "/jobs/", "/user/clusters", "/static/x"])
def test_unknown_path(nobody: httpx.Client, path: str) -> None:
    """YAPTIDE answers an HTML page."""
    answer = nobody.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert answer.json()["message"]
