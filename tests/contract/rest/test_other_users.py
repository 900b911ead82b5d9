"""Nobody reads or changes what is another's: every operation of the OpenAPI document is tried."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from kit.running.clients.visitor import Visitor

DOCUMENT = json.loads(
    (Path(__file__).parents[3] / "docs" / "openapi" / "kerma.json").read_text(encoding="utf-8")
)
OPERATIONS = [
    (method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods
]
OPEN = {
    ("GET", "/"),
    ("PUT", "/auth/register"),
    ("POST", "/auth/login"),
    ("GET", "/auth/refresh"),
    ("DELETE", "/auth/logout"),
    ("POST", "/auth/keycloak"),
    ("DELETE", "/auth/keycloak"),
    ("GET", "/v1/docs"),
    ("GET", "/v1/docs/start.js"),
    ("GET", "/v1/docs/swagger-ui.css"),
    ("GET", "/v1/docs/swagger-ui.js"),
    ("GET", "/v1/openapi.json"),
    ("GET", "/v1/problems"),
    ("POST", "/logs"),
}
"""Operations without an access token: by them one gets or ends a token, or reads documents."""

REPORTS = {
    ("POST", "/jobs"),
    ("POST", "/logfiles"),
    ("POST", "/results"),
    ("POST", "/tasks"),
    ("POST", "/tasks/bulk"),
}
"""Operations of scripts, which need an update key instead: see `tests/integration/jobs`."""

ANYBODYS = {
    ("GET", "/auth/status"),
    ("GET", "/clusters"),
    ("GET", "/user/simulations"),
    ("GET", "/v1/clusters"),
    ("GET", "/v1/engines"),
    ("GET", "/v1/jobs"),
    ("GET", "/v1/runner/demand"),
    ("GET", "/v1/sessions"),
    ("GET", "/v1/tokens"),
    ("GET", "/v1/users/me"),
}
"""Operations that answer every user with what is the user's own, or everybody's."""

LASTING = {("GET", "/v1/jobs/events")}
"""Operations whose answer goes on; the user's own is what comes first."""


@pytest.mark.parametrize(("method", "path"), sorted(REPORTS))
def test_no_report_without_a_key(
    nobody: httpx.Client, ada: Visitor, method: str, path: str
) -> None:
    """A user's session takes no key's place."""
    number = "sim_id" if path == "/jobs" else "simulation_id"
    one: dict[str, Any] = {"task_id": 1, "update_dict": {}}
    bodies: dict[str, dict[str, Any]] = {
        "/jobs": {},
        "/logfiles": {"logfiles": {"a.log": "text"}},
        "/results": {"estimators": []},
        "/tasks": one,
        "/tasks/bulk": {"tasks": [one]},
    }
    said = bodies[path]
    for sender in (nobody, ada.http):
        answer = sender.request(method, path, json={number: 1, "update_key": "x", **said})
        assert answer.status_code == 400
        assert set(answer.json()) == {"message", "update_key"}


@pytest.mark.parametrize(("method", "path"), sorted(set(OPERATIONS) - OPEN - REPORTS))
def test_nobody_without_a_token(nobody: httpx.Client, method: str, path: str) -> None:
    answer = nobody.request(method, path.replace("{", "").replace("}", ""))
    assert answer.status_code == 401
    told = answer.json()
    assert told["detail" if path.startswith("/v1/") else "message"] == "No token provided"


A_PAGE = {"estimator": "0", "number": "0"}


@pytest.fixture(scope="module")
def owned(ada: Visitor, job: str) -> dict[str, str]:
    """Values that name what is ``ada``'s, by the name of their parameter."""
    token = ada.http.post("/v1/tokens", json={"label": "script", "days": 1})
    assert token.status_code == 201, token.text
    token_id = token.json()["id"]
    session_id = ada.http.get("/v1/sessions").json()["items"][0]["id"]
    own = {"job_id": job, "user_id": ada.user_id, "token_id": token_id, "session_id": session_id}
    return {**own, "name": "admin", **A_PAGE}


@pytest.mark.parametrize(("method", "path"), sorted(set(OPERATIONS) - OPEN - REPORTS))
def test_no_other_user(
    ada: Visitor, eve: httpx.Client, owned: dict[str, str], method: str, path: str
) -> None:
    parameters = DOCUMENT["paths"][path][method.lower()].get("parameters", [])
    places = {p["name"]: p["in"] for p in parameters if p["name"] in owned}
    for name in (name for name, place in places.items() if place == "path"):
        path = path.replace("{" + name + "}", owned[name])
    query = {name: owned[name] for name, place in places.items() if place == "query"}
    if (method, path) in LASTING:
        text = _beginning(eve, path)
        assert not [value for name, value in owned.items() if name == "job_id" and value in text]
        return
    answer = eve.request(method, path, params=query)
    if places:
        assert answer.status_code in {403, 404}, answer.text
        _has_nothing_of(answer, owned)
    elif (method, path) == ("DELETE", "/v1/sessions"):
        assert answer.status_code == 204, answer.text
        assert ada.http.get("/auth/status").status_code == 200
    elif (method, path) in ANYBODYS:
        assert answer.status_code == 200, answer.text
        _has_nothing_of(answer, owned)
    else:  # of operators, or a body is missing
        assert answer.status_code in {400, 403}, answer.text


def _beginning(client: httpx.Client, path: str) -> str:
    """Return what a stream says until it has told everything that there was."""
    text = ""
    with client.stream("GET", path) as answer:
        assert answer.status_code == 200
        for part in answer.iter_text():
            text += part
            if "event: ready" in text:
                return text
    raise AssertionError(text)


def _has_nothing_of(answer: httpx.Response, owned: dict[str, str]) -> None:
    ids: Any = [value for name, value in owned.items() if name not in {"name", *A_PAGE}]
    assert not [value for value in ids if value in answer.text]
