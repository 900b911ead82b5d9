"""Live updates in the client: what is read, how streams are resumed, and waiting for a job by them."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from kerma_client.api.exchange import Retries
from kerma_client.api.pausing import looks
from kerma_client.api.updates import (
    EventReader,
    JobChanged,
    JobDeleted,
    ListStale,
    Patience,
    Ready,
)
from kerma_client.errors import ApiError, JobTimeoutError, UnreachableError
from kerma_common.http.event_stream import HEARTBEAT, message
from kit.running.clients.answers import BUSY, JOB, VOID, Ask, Server, Unended, ok, problem

READY = message("ready", "9-9-9", b"{}")


def told(state: str, position: str = "1-1-1", text: str = "Job is running") -> bytes:
    """Return an event as the service writes it."""
    data = {
        "id": "j1",
        "state": state,
        "message": text,
        "version": "16412-901-7-12",
        "tasks": {"total": 1, "running": 1},
        "primaries": {"requested": 10, "simulated": 4},
    }
    return message("job", position, json.dumps(data, ensure_ascii=False).encode())


def in_state(state: str) -> httpx.Response:
    return ok({**JOB, "state": state})


def opened(server: Server) -> list[str | None]:
    """Return after which event each stream was opened."""
    asked = [request for request in server.asked if request.url.path.endswith("/events")]
    return [request.headers.get("last-event-id") for request in asked]


def test_events_are_typed_however_the_bytes_are_cut() -> None:
    raw = b"retry: 2000\n\n" + told("RUNNING", "1-2-3", "a\u2028b\x85c") + HEARTBEAT + READY
    raw += message("deleted", "2-2-3", b'{"id":"j1"}') + message("reset", "3-2-3", b"{}")
    raw += message("of a later release", "3-2-4", b"{}")
    expected = [
        JobChanged(
            "1-2-3",
            "j1",
            "RUNNING",
            "a\u2028b\x85c",
            "16412-901-7-12",
            {"total": 1, "running": 1},
            10,
            4,
        ),
        Ready("9-9-9"),
        JobDeleted("2-2-3", "j1"),
        ListStale("3-2-3"),
    ]
    for size in (1, 7, len(raw)):
        reader = EventReader()
        cut = [raw[at : at + size] for at in range(0, len(raw), size)]
        found = [event for chunk in cut for event in reader.feed(chunk)]
        assert [event for event in found if event is not None] == expected
        assert found.count(None) == 3


@pytest.mark.parametrize("raw", [b"event: job\n\n", b"event: job\nid: 1\ndata: {\n\n", b"\xff\n\n"])
def test_what_is_no_stream_is_an_error(ask: Ask, raw: bytes) -> None:
    server = Server(in_state("RUNNING"))
    server.streams = [raw]
    with pytest.raises(ApiError, match="not a stream of live updates"):
        ask(server, "events", {}, 1)
    server.streams = [b"x" * (1 << 21)]
    with pytest.raises(ApiError, match="not a stream of live updates"):
        ask(server, "events", {}, 1)


def test_a_stream_is_resumed_where_it_broke(ask: Ask, pauses: list[float]) -> None:
    server = Server(in_state("RUNNING"))
    server.streams = [
        told("PENDING", "1-1-1"),
        httpx.ConnectError("refused"),
        BUSY,
        HEARTBEAT,
        told("RUNNING", "2-1-1"),
        told("COMPLETED", "3-1-1"),
    ]
    found = ask(server, "events", {"after": "0-0-7"}, 3)
    assert [event.state for event in found] == ["PENDING", "RUNNING", "COMPLETED"]
    assert opened(server) == ["0-0-7", *["1-1-1"] * 4, "2-1-1"]
    assert server.paths[0] == "/v1/jobs/events"
    assert len(pauses) == 5
    assert pauses[2] > pauses[0]


def test_of_events_told_together_the_last_says_where_to_go_on(ask: Ask) -> None:
    server = Server(in_state("RUNNING"))
    server.streams = [
        told("PENDING", "1-1-1") + message("deleted", None, b'{"id":"j2"}'),  # cut off here
        message("deleted", None, b'{"id":"j2"}') + told("RUNNING", "2-1-1"),
        told("COMPLETED", "3-1-1"),
    ]
    found = ask(server, "events", {"after": "0-0-7"}, 5)
    assert [event.position for event in found] == ["1-1-1", "1-1-1", "1-1-1", "2-1-1", "3-1-1"]
    assert opened(server) == ["0-0-7", "1-1-1", "2-1-1"]


def test_a_stream_of_an_expired_session_is_resumed_after_a_refresh(ask: Ask) -> None:
    server = Server(ok({}))
    server.streams = [told("PENDING"), VOID, told("RUNNING", "2-1-1")]
    found = ask(server, "events", {"job_id": "j1"}, 2)
    assert [event.state for event in found] == ["PENDING", "RUNNING"]
    stream = "/v1/jobs/j1/events"
    assert server.paths == [stream, stream, "/auth/refresh", stream]


def test_a_refused_stream_is_an_error_and_patience_ends(ask: Ask) -> None:
    server = Server(in_state("RUNNING"))
    with pytest.raises(ApiError) as refused:
        ask(server, "events", {}, 1)
    assert refused.value.kind == "too-many-requests"
    assert len(server.asked) == 1
    server.retries = Retries(patience=-1.0)
    server.streams = [httpx.ConnectError("refused")]
    with pytest.raises(UnreachableError, match=r"^http://kerma.test does not answer: refused"):
        ask(server, "events", {}, 1)


def test_waiting_looks_when_the_state_is_told_to_change(ask: Ask, pauses: list[float]) -> None:
    seen: list[str] = []
    server = Server(*map(in_state, ("PENDING", "RUNNING", "COMPLETED")))
    progress = told("RUNNING") * 20
    server.streams = [told("PENDING") + READY + progress + HEARTBEAT + told("COMPLETED")]
    done = ask(server, "wait", {"job_id": "j1", "changed": lambda job: seen.append(job.state)})
    assert done.state == "COMPLETED"
    assert seen == ["PENDING", "RUNNING", "COMPLETED"]
    job, stream = "/v1/jobs/j1", "/v1/jobs/j1/events"
    assert server.paths == [job, stream, job, job]
    assert pauses == []


def test_waiting_looks_again_and_again_without_live_updates(ask: Ask, pauses: list[float]) -> None:
    states = ("PENDING", "RUNNING", "RUNNING", "COMPLETED")
    seen: list[str] = []
    server = Server(*map(in_state, states))
    done = ask(server, "wait", {"job_id": "j1", "changed": lambda job: seen.append(job.state)})
    assert done.state == "COMPLETED"
    assert seen == ["PENDING", "RUNNING", "COMPLETED"]
    assert len(opened(server)) == 1
    assert pauses == sorted(pauses)


def test_waiting_survives_a_restart(ask: Ask) -> None:
    away = httpx.ConnectError("refused")
    # four tries belong to one look
    server = Server(
        in_state("RUNNING"), *[away] * 4, BUSY, in_state("RUNNING"), in_state("COMPLETED")
    )
    server.streams = [told("PENDING"), away, told("MERGING_QUEUED"), told("COMPLETED")]
    assert ask(server, "wait", {"job_id": "j1"}).state == "COMPLETED"
    gone = Server(in_state("RUNNING"), away)
    gone.retries = Retries(patience=-1.0)
    gone.streams = [told("COMPLETED")]
    with pytest.raises(UnreachableError):
        ask(gone, "wait", {"job_id": "j1"})


def test_a_look_at_the_last_state_is_repeated_although_nothing_more_is_told(ask: Ask) -> None:
    away = httpx.ConnectError("refused")
    server = Server(in_state("RUNNING"), *[away] * 4, BUSY, in_state("COMPLETED"))
    server.streams = [Unended(told("RUNNING") + told("COMPLETED"))]
    assert ask(server, "wait", {"job_id": "j1"}).state == "COMPLETED"
    assert len(opened(server)) == 1


def test_repeated_looks_end_with_the_time(ask: Ask) -> None:
    server = Server(in_state("RUNNING"), httpx.ConnectError("refused"))
    server.streams = [Unended(told("COMPLETED"))]
    with pytest.raises(JobTimeoutError, match="j1 is RUNNING"):
        ask(server, "wait", {"job_id": "j1", "timeout": 0.05})


def test_patience_counts_from_the_first_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter((500.0, 600.0, 700.0, 820.0, 820.5))
    monkeypatch.setattr("kerma_client.api.updates.time.monotonic", lambda: next(moments))
    patience, error = Patience(120.0), UnreachableError("away")
    patience.answered()
    patience.failed(error)
    patience.failed(error)
    patience.answered()
    patience.failed(error)
    patience.failed(error)
    with pytest.raises(UnreachableError):
        patience.failed(error)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, content=b"<html>", headers={"content-type": "text/html"}),
        httpx.Response(200, content=b""),
        httpx.Response(301, headers={"location": "https://kerma.test"}, content=b"moved"),
    ],
)
def test_what_is_no_stream_of_events_is_refused(ask: Ask, answer: httpx.Response) -> None:
    server = Server(in_state("RUNNING"))
    server.streams = [answer]
    with pytest.raises(ApiError):
        ask(server, "events", {}, 1)


def test_streams_that_end_at_once_try_the_patience(ask: Ask) -> None:
    server = Server(in_state("RUNNING"))
    server.retries = Retries(patience=-1.0)
    server.streams = [b""]
    with pytest.raises(ApiError, match="not a stream of live updates"):
        ask(server, "events", {}, 1)


def test_waiting_for_a_deleted_job_says_so(ask: Ask) -> None:
    server = Server(in_state("RUNNING"), problem(404, "not-found"))
    server.streams = [message("deleted", "2-2-3", b'{"id":"j1"}')]
    with pytest.raises(ApiError) as refused:
        ask(server, "wait", {"job_id": "j1"})
    assert refused.value.kind == "not-found"


def test_waiting_ends_with_the_time(ask: Ask, pauses: list[float]) -> None:
    with pytest.raises(JobTimeoutError, match="j1 is RUNNING"):
        ask(Server(in_state("RUNNING")), "wait", {"job_id": "j1", "timeout": 2.0})
    assert sum(pauses) == pytest.approx(2.0, abs=0.5)
    assert list(looks(0.0)) == []


def test_a_job_is_followed_with_its_tasks(ask: Ask) -> None:
    def status(state: str, simulated: int) -> httpx.Response:
        task: dict[str, Any] = {
            "number": 0,
            "state": state,
            "primaries": {"requested": 10, "simulated": simulated},
            "started_at": None,
            "ended_at": None,
            "seconds_left": None,
        }
        job = {"id": "j1", "state": state, "message": ""}
        return ok({"job": job, "items": [task], "next": None})

    server = Server(status("RUNNING", 1), status("RUNNING", 5), status("COMPLETED", 10))
    server.streams = [told("RUNNING") + READY + told("COMPLETED")]
    found = ask(server, "follow", {"job_id": "j1"})
    assert [(one.state, one.simulated) for one in found] == [
        ("RUNNING", 1),
        ("RUNNING", 5),
        ("COMPLETED", 10),
    ]
