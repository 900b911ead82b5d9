"""What pages of other hosts can do with the cookies of a user: nothing."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from kit.running.clients.visitor import Visitor

STRANGE = {"Origin": "https://evil.example"}
TYPES = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
"""Types of bodies that a form of any page can send."""


def number_of_jobs(ada: Visitor) -> int:
    number: int = ada.http.get("/user/simulations").json()["simulations_count"]
    return number


def own_origin(client: httpx.Client) -> dict[str, str]:
    """Return the header of the UI's page, on another port of the same host."""
    return {"Origin": f"http://{client.base_url.host}:3000"}


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/jobs/direct"), ("DELETE", "/user/simulations"), ("DELETE", "/auth/logout")],
)
def test_a_strange_page_reads_and_changes_nothing(
    ada: Visitor, job: str, method: str, path: str
) -> None:
    """YAPTIDE reflects every origin."""
    before = number_of_jobs(ada)
    query = {"job_id": job} if path == "/user/simulations" else {}
    changed = ada.http.request(method, path, params=query, headers=STRANGE, json={})
    assert changed.status_code == 403
    read = ada.http.get("/user/simulations", headers=STRANGE)
    for answer in (changed, read):
        assert "access-control-allow-origin" not in answer.headers
    assert number_of_jobs(ada) == before
    assert ada.get("/jobs", job).status_code == 200


def test_a_strange_page_logs_nobody_in(nobody: httpx.Client, ada: Visitor) -> None:
    name = {"username": "visitor", "password": "long enough for a test"}
    answer = nobody.post("/auth/login", json=name, headers=STRANGE)
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)


@pytest.mark.parametrize("kind", TYPES)
def test_a_form_submits_nothing(ada: Visitor, body: dict[str, Any], kind: str) -> None:
    """YAPTIDE reads JSON under any content type."""
    before = number_of_jobs(ada)
    headers = {**own_origin(ada.http), "Content-Type": kind}
    answer = ada.http.post("/jobs/direct", content=json.dumps(body), headers=headers)
    assert (answer.status_code, "message" in answer.json()) == (415, True)
    assert number_of_jobs(ada) == before


@pytest.mark.parametrize("path", ["/user/simulations", "/jobs", "/nowhere"])
def test_answers_are_for_the_page_of_another_port(ada: Visitor, path: str) -> None:
    """On refusals too: the UI shows their message."""
    origin = own_origin(ada.http)
    answer = ada.http.get(path, headers=origin)
    assert answer.status_code == {"/user/simulations": 200, "/jobs": 400}.get(path, 404)
    assert answer.headers["access-control-allow-origin"] == origin["Origin"]
    assert answer.headers["access-control-allow-credentials"] == "true"


@pytest.mark.parametrize(
    ("method", "path", "header"),
    [
        ("DELETE", "/user/simulations", "content-type"),
        ("POST", "/jobs/direct", "content-type"),
        ("POST", "/jobs/direct", "idempotency-key"),
        ("POST", "/auth/keycloak", "authorization"),
    ],
)
def test_preflight(nobody: httpx.Client, method: str, path: str, header: str) -> None:
    headers = {
        **own_origin(nobody),
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": header,
    }
    answer = nobody.options(path, headers=headers)
    assert answer.status_code in {200, 204}
    assert answer.headers["access-control-allow-origin"] == headers["Origin"]
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert method in answer.headers["access-control-allow-methods"]
    assert header in answer.headers["access-control-allow-headers"].lower()
