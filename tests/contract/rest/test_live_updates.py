"""Live updates of a running Kerma, over its port: what the status shows, until the session ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import orjson
import pytest

from kit.programs.family import PATIENCE
from kit.running.clients.visitor import TERMINAL, Visitor
from kit.running.whole import Whole, whole

Event = tuple[str, str | None, dict[str, Any]]


@contextmanager
def stream(client: httpx.Client, path: str, **headers: str) -> Iterator[Iterator[Event]]:
    """Open a stream; heartbeats count for nothing, the timeout is for each part."""
    with client.stream("GET", path, headers=headers, timeout=PATIENCE) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield _events(answer)


def _events(answer: httpx.Response) -> Iterator[Event]:
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        if line:
            fields[name] = value
        elif "event" in fields:
            yield fields.pop("event"), fields.pop("id", None), orjson.loads(fields.pop("data"))


@pytest.fixture
def eva(kerma: Whole) -> Iterator[Visitor]:
    """A second session of the visitor, which a test may end."""
    visitor = kerma.visitor().enter()
    yield visitor
    visitor.close()


def test_a_job_is_followed_to_its_end(eva: Visitor, body: dict[str, Any]) -> None:
    ranks = ["PENDING", "RUNNING", "MERGING_QUEUED", "MERGING_RUNNING", "COMPLETED"]
    with stream(eva.http, "/v1/jobs/events") as events:
        assert any(kind == "ready" for kind, _, _ in events)
        job = eva.submit(body)
        states, last = [], ""
        for kind, event_id, data in events:
            if kind != "job" or data["id"] != job:
                continue
            last = event_id or last
            status = eva.status(job)
            # nothing is told that cannot be read
            assert ranks.index(status["job_state"]) >= ranks.index(data["state"])
            shown = sum(task["simulated_primaries"] for task in status["job_tasks_status"])
            assert shown >= data["primaries"]["simulated"]
            states.append(data["state"])
            if data["state"] in TERMINAL:
                break
    assert states == sorted(states, key=ranks.index)
    assert states[-1] == "COMPLETED"
    assert eva.get("/results", job).status_code == 200
    with stream(eva.http, "/v1/jobs/events", **{"Last-Event-ID": last}) as events:
        assert next(events)[0] == "ready"
    with stream(eva.http, f"/v1/jobs/{job}/events") as events:
        assert next(events)[2]["state"] == "COMPLETED"


def test_a_stream_ends_with_its_session(eva: Visitor) -> None:
    with stream(eva.http, "/v1/jobs/events") as events:
        assert next(events)
        assert eva.http.delete("/auth/logout").status_code == 200
        assert [kind for kind, _, _ in events if kind != "job"] in ([], ["ready"])
    assert eva.http.get("/v1/jobs/events").status_code == 401


def test_a_stop_of_the_server_ends_its_streams() -> None:
    with whole() as made:
        program = made.up()
        visitor = made.visitor().enter()
        with stream(visitor.http, "/v1/jobs/events") as events:
            assert next(events)
            program.process.terminate()
            assert [kind for kind, _, _ in events] in ([], ["ready"])
        program.process.wait(PATIENCE)
        visitor.close()
