"""What the client sends, when it sends again, and what it makes of answers; both transports alike."""

from __future__ import annotations

import inspect
from typing import Any

import httpx
import numpy as np
import pytest

from kerma_client.aio import AsyncKermaClient
from kerma_client.api.exchange import Retries
from kerma_client.api.models import page as read_page
from kerma_client.client import KermaClient
from kerma_client.errors import ApiError, UnreachableError
from kit.running.clients.answers import (
    BUSY,
    ENTRY,
    JOB,
    NO_TOKEN,
    URL,
    VOID,
    Answers,
    Ask,
    Lost,
    Server,
    ok,
    problem,
)


def test_both_clients_have_the_same_methods() -> None:
    def interface(of: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(method).parameters)
            for name, method in vars(of).items()
            if not name.startswith("_") and callable(method)
        }

    assert interface(KermaClient) == interface(AsyncKermaClient)


def test_a_job_is_read(ask: Ask) -> None:
    server = Server(ok(JOB))
    job = ask(server, "job", {"job_id": "a/b ü"})
    assert server.paths == ["/v1/jobs/a%2Fb%20%C3%BC"]
    assert (job.id, job.state, job.requested, job.simulated, job.over) == (
        "j1",
        "RUNNING",
        10,
        4,
        False,
    )
    assert job.submitted_at.isoformat() == "2026-11-22T01:25:56.120000+00:00"


def test_lists_are_read_page_by_page(ask: Ask) -> None:
    second = {**ENTRY, "id": "j2"}
    server = Server(ok({"items": [ENTRY], "next": "abc"}), ok({"items": [second], "next": None}))
    found = ask(server, "jobs", {"state": "RUNNING", "text": "wa ter"})
    assert [job.id for job in found] == ["j1", "j2"]
    assert server.paths[0] == "/v1/jobs?state=RUNNING&text=wa+ter&limit=200"
    assert server.asked[1].url.params["cursor"] == "abc"


def test_a_read_is_repeated_and_honours_retry_after(ask: Ask, pauses: list[float]) -> None:
    server = Server(httpx.ReadError("reset"), BUSY, ok(JOB))
    assert ask(server, "job", {"job_id": "j1"}).id == "j1"
    assert len(server.asked) == 3
    assert 0.05 <= pauses[0] <= 0.15
    assert pauses[1] == 2.0


def test_attempts_end(ask: Ask, pauses: list[float]) -> None:
    with pytest.raises(UnreachableError, match=r"http://kerma.test does not answer: reset"):
        ask(Server(httpx.ReadError("reset")), "job", {"job_id": "j1"})
    assert len(pauses) == Retries().attempts - 1
    server = Server(problem(503, "unavailable", retry_after=3600))
    with pytest.raises(ApiError) as refused:
        ask(server, "job", {"job_id": "j1"})
    assert (refused.value.retry_after, len(server.asked)) == (3600.0, 1)


def test_a_submission_may_bring_its_own_key(ask: Ask) -> None:
    server = Server(ok({"id": "j1"}, 201))
    assert ask(server, "submit", {"job": {}, "key": "mine"}) == "j1"
    assert server.asked[0].headers["idempotency-key"] == "mine"


MADE = {"id": "i", "token": "t", "expires_at": "2026-11-22T01:25:56.120Z"}
TOKEN = {"label": "x", "days": 1}


@pytest.mark.parametrize(
    "lost", [httpx.ReadError("reset"), httpx.ReadTimeout(""), BUSY, httpx.ConnectError("refused")]
)
@pytest.mark.parametrize(
    ("method", "arguments", "made"),
    [
        ("submit", {"job": {"engine": "geant4"}}, {"id": "j1"}),
        ("create_token", TOKEN, MADE),
    ],
)
def test_all_tries_of_a_call_have_its_key(
    ask: Ask, method: str, arguments: dict[str, Any], made: dict[str, str], lost: Lost
) -> None:
    keys = []
    for _ in range(2):
        server = Server(lost, lost, ok(made, 201))
        ask(server, method, arguments)
        assert len(server.asked) == 3
        assert len({request.content for request in server.asked}) == 1
        (key,) = {request.headers["idempotency-key"] for request in server.asked}
        assert len(key) >= 32
        keys.append(key)
    assert keys[0] != keys[1]


def test_a_renewed_session_keeps_the_key(ask: Ask) -> None:
    server = Server(VOID, ok({}), ok(MADE, 201))
    assert ask(server, "create_token", TOKEN).token == "t"
    first, renewal, second = server.asked
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert "idempotency-key" not in renewal.headers


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("register", {"username": "ada", "password": "x"}),
        ("change_password", {"old": "a", "new": "b"}),
    ],
)
def test_what_must_not_happen_twice_is_sent_once(
    ask: Ask, method: str, arguments: dict[str, Any]
) -> None:
    for answer in (httpx.ReadError("reset"), httpx.ReadTimeout(""), BUSY):
        server = Server(answer)
        with pytest.raises((ApiError, UnreachableError)):
            ask(server, method, arguments)
        assert len(server.asked) == 1


def test_what_did_not_arrive_or_was_refused_for_now_is_sent_again(ask: Ask) -> None:
    answers: Answers = [httpx.ConnectError("refused"), problem(429, "too-many-requests")]
    server = Server(*answers, ok({}, 201))
    assert ask(server, "change_password", {"old": "a", "new": "b"}) is None
    assert len(server.asked) == 3


@pytest.mark.parametrize("refusal", [VOID, NO_TOKEN], ids=["void", "expired in the cookie jar"])
def test_an_expired_session_is_renewed_once(ask: Ask, refusal: httpx.Response) -> None:
    server = Server(refusal, ok({}), ok(JOB))
    assert ask(server, "job", {"job_id": "j1"}).id == "j1"
    assert server.paths == ["/v1/jobs/j1", "/auth/refresh", "/v1/jobs/j1"]
    server = Server(refusal, ok({}), refusal)
    with pytest.raises(ApiError):
        ask(server, "job", {"job_id": "j1"})
    assert len(server.asked) == 3


def test_a_session_that_cannot_be_renewed_is_the_error(ask: Ask) -> None:
    server = Server(VOID, problem(401, "unauthenticated"))
    with pytest.raises(ApiError, match="Signature has expired"):
        ask(server, "job", {"job_id": "j1"})
    assert server.paths == ["/v1/jobs/j1", "/auth/refresh"]
    server = Server(VOID, problem(503, "unavailable"))
    with pytest.raises(ApiError, match="503"):
        ask(server, "job", {"job_id": "j1"})


def test_what_is_not_allowed_renews_nothing(ask: Ask) -> None:
    for kind in ("forbidden", "quota-exceeded"):
        server = Server(problem(403, kind))
        for _ in range(5):
            with pytest.raises(ApiError):
                ask(server, "job", {"job_id": "j1"})
        assert server.paths == ["/v1/jobs/j1"] * 5


def test_who_has_no_session_renews_none(ask: Ask) -> None:
    server = Server(NO_TOKEN)
    server.session = {}
    with pytest.raises(ApiError):
        ask(server, "job", {"job_id": "j1"})
    assert server.paths == ["/v1/jobs/j1"]


def test_an_api_token_is_not_renewed() -> None:
    server = Server(VOID)
    client = KermaClient(URL, transport=httpx.MockTransport(server), token="secret")
    with client, pytest.raises(ApiError):
        client.job("j1")
    assert server.paths == ["/v1/jobs/j1"]
    assert server.asked[0].headers["authorization"] == "Bearer secret"


def test_a_problem_becomes_an_error_with_kind_code_and_fields(ask: Ask) -> None:
    faults = [{"field": "tasks", "detail": "low"}, {"field": "tasks", "detail": "odd"}]
    with pytest.raises(ApiError) as refused:
        ask(Server(problem(400, "invalid-request", errors=faults)), "submit", {"job": {}})
    error = refused.value
    assert (error.status, error.kind, error.fields) == (
        400,
        "invalid-request",
        {"tasks": ["low", "odd"]},
    )
    assert str(error) == "D (HTTP 400)\n  tasks: low\n  tasks: odd"
    with pytest.raises(ApiError) as refused:
        ask(Server(problem(409, "rejected", code="JOB_ACTIVE")), "delete", {"job_id": "j1"})
    assert refused.value.code == "JOB_ACTIVE"


@pytest.mark.parametrize("content", [b"<html>", b"[]", b'"text"', b""])
def test_an_answer_of_something_else_is_an_error(ask: Ask, content: bytes) -> None:
    with pytest.raises(ApiError):
        ask(Server(httpx.Response(200, content=content)), "job", {"job_id": "j1"})


def test_nothing_is_read_where_there_is_nothing_to_say(ask: Ask) -> None:
    assert ask(Server(httpx.Response(204)), "delete", {"job_id": "j1"}) is None


def test_a_page_becomes_arrays() -> None:
    raw = {
        "dimensions": 2,
        "data": {
            "name": "DOSE",
            "unit": "MeV/g",
            "values": [1, 2, 3, 4, 5, None],
            "errors": [0.1] * 6,
        },
        "metadata": {"page_number": "3"},
        "axis_dim1": {"name": "x", "unit": "cm", "values": [0.5, 1.5], "edges": [0, 1, 2]},
        "axis_dim2": {"name": "y", "unit": "cm", "values": [0.5, 1.5, 2.5]},
    }
    page = read_page(raw)
    assert (page.number, page.name, page.shape) == (3, "DOSE", (2, 3))
    values, errors = page.values(), page.errors()
    assert values[1, 0] == 2  # the first axis is the fastest
    assert np.isnan(values[1, 2])
    assert errors is not None
    assert errors.shape == (2, 3)
    scalar = read_page({**raw, "dimensions": 0, "data": {"name": "N", "unit": "", "values": [7]}})
    assert (scalar.values().shape, float(scalar.values()), scalar.errors()) == ((), 7.0, None)
