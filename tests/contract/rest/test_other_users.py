"""Nobody reads or changes what is another's: every operation of the OpenAPI document is tried."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from kit.inputs.projects import submission
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

OWN = {
    ("GET", "/auth/status"): 200,
    ("GET", "/clusters"): 200,
    ("GET", "/user/simulations"): 200,
    ("GET", "/v1/clusters"): 200,
    ("GET", "/v1/engines"): 200,
    ("GET", "/v1/jobs"): 200,
    ("GET", "/v1/runner/demand"): 200,
    ("GET", "/v1/sessions"): 200,
    ("GET", "/v1/tokens"): 200,
    ("GET", "/v1/users/me"): 200,
    ("DELETE", "/v1/sessions"): 204,
    ("POST", "/jobs/direct"): 202,
    ("POST", "/user/update"): 202,
    ("POST", "/v1/jobs"): 201,
    ("POST", "/v1/tokens"): 201,
    ("PUT", "/v1/users/me/password"): 400,
}
"""Operations on what is the user's own, or everybody's, and what they answer to documented examples.

The password there is not the user's.
"""

PROJECT = submission(20, 1)
BODIES: dict[str, dict[str, Any]] = {
    "/jobs/direct": PROJECT,
    "/v1/jobs": {"engine": PROJECT["sim_type"], "project": PROJECT["input_json"]},
}
"""Bodies in place of documented examples that no engine accepts."""

OF_OPERATORS = {("GET", "/v1/users"), ("POST", "/v1/users")}
"""Operations without an id that users may not call."""

OF_KEYCLOAK = {("GET", "/jobs/batch"), ("DELETE", "/jobs/batch"), ("POST", "/jobs/batch")}
"""Operations of users of Keycloak only; see `cluster/test_sessions.py`."""

HIDDEN = {("DELETE", "/v1/tokens/{token_id}"), ("DELETE", "/v1/sessions/{session_id}")}
"""Operations that do not say whether another has such a thing."""

STREAMS = {("GET", "/v1/jobs/events")}
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


NAMING = sorted(
    set(OPERATIONS) - OPEN - REPORTS - OWN.keys() - OF_OPERATORS - OF_KEYCLOAK - STREAMS
)
"""Operations that name a thing; a new one is among them until it is known what it is."""


def _sent(method: str, path: str, owned: dict[str, str]) -> tuple[str, dict[str, Any]]:
    """Return the path and the rest of a request: what is ``ada``'s, and the documented body."""
    operation = DOCUMENT["paths"][path][method.lower()]
    places = {p["name"]: p["in"] for p in operation.get("parameters", []) if p["name"] in owned}
    sent: dict[str, Any] = {
        "params": {n: owned[n] for n, place in places.items() if place == "query"}
    }
    for name in (name for name, place in places.items() if place == "path"):
        path = path.replace("{" + name + "}", owned[name])
    if "requestBody" in operation:
        example = operation["requestBody"]["content"]["application/json"]["example"]
        sent["json"] = BODIES.get(path, example)
    return path, sent


@pytest.mark.parametrize(("method", "path"), NAMING)
def test_nothing_that_is_anothers(
    ada: Visitor, eve: httpx.Client, owned: dict[str, str], method: str, path: str
) -> None:
    real, sent = _sent(method, path, owned)
    assert real != path or sent["params"], f"say what {method} {path} is"
    answer = eve.request(method, real, **sent)
    assert answer.status_code == (404 if (method, path) in HIDDEN else 403), answer.text
    _has_nothing_of(answer.text, owned)
    # and all is as it was
    assert ada.get("/jobs", owned["job_id"]).json()["job_state"] == "COMPLETED"
    assert ada.http.get("/auth/status").status_code == 200
    assert owned["token_id"] in ada.http.get("/v1/tokens").text


@pytest.mark.parametrize(("method", "path"), sorted(OWN))
def test_only_what_is_ones_own(
    ada: Visitor, eve: httpx.Client, owned: dict[str, str], method: str, path: str
) -> None:
    _, sent = _sent(method, path, owned)
    answer = eve.request(method, path, **sent)
    assert answer.status_code == OWN[method, path], answer.text
    _has_nothing_of(answer.text, owned)
    assert ada.http.get("/auth/status").status_code == 200


@pytest.mark.parametrize(("method", "path"), sorted(OF_OPERATORS | OF_KEYCLOAK))
def test_nothing_of_other_roles(
    eve: httpx.Client, owned: dict[str, str], method: str, path: str
) -> None:
    _, sent = _sent(method, path, owned)
    answer = eve.request(method, path, **sent)
    assert answer.status_code == 403, answer.text
    _has_nothing_of(answer.text, owned)


@pytest.mark.parametrize("last_id", ["", "0-0-0", "1-0-0", f"{10**15}-0-0", "no position"])
def test_a_stream_tells_ones_own_from_wherever_it_goes_on(
    eve: httpx.Client, owned: dict[str, str], last_id: str
) -> None:
    headers = {"Last-Event-ID": last_id} if last_id else {}
    _has_nothing_of(_beginning(eve, "/v1/jobs/events", headers), owned)
    one = eve.get(f"/v1/jobs/{owned['job_id']}/events", headers=headers)
    assert one.status_code == 403
    _has_nothing_of(one.text, owned)


def _beginning(client: httpx.Client, path: str, headers: dict[str, str]) -> str:
    """Return what a stream says until it has told everything that there was."""
    text = ""
    with client.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200
        for part in answer.iter_text():
            text += part
            if "event: ready" in text:
                return text
    raise AssertionError(text)


def _has_nothing_of(text: str, owned: dict[str, str]) -> None:
    ids = [value for name, value in owned.items() if name not in {"name", *A_PAGE}]
    assert not [value for value in ids if value in text]
