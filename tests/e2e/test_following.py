"""Clients that follow a job by live updates, through a restart of the whole Kerma."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import pytest

from kerma_client.aio import AsyncKermaClient
from kerma_client.api.models import JobStatus
from kerma_client.api.updates import JobChanged
from kerma_client.client import KermaClient
from kit.inputs.projects import demo_project
from kit.programs.family import PATIENCE, START_SECONDS, eventually
from kit.running.whole import SHORT_LEASES, Whole, whole

RANKS = ["PENDING", "RUNNING", "MERGING_QUEUED", "MERGING_RUNNING", "COMPLETED"]


class Counted(httpx.HTTPTransport):
    """A transport that keeps the paths it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.paths: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.paths.append(request.url.path)
        return super().handle_request(request)


@pytest.fixture
def kerma() -> Iterator[Whole]:
    with whole(**SHORT_LEASES) as made:
        made.up()
        yield made


def restart(kerma: Whole) -> None:
    """Stop it as an operator does, and start it again at the same port."""
    port = httpx.URL(kerma.running.url).port
    assert kerma.program is not None
    assert port is not None
    kerma.program.process.send_signal(signal.SIGTERM)
    kerma.program.process.wait(PATIENCE)
    program = kerma.program = kerma.start(None, port)
    eventually(lambda: kerma._answers(program), START_SECONDS, "kerma up, again")


async def _states(url: str, token: str, job: str) -> list[str]:
    """Return the states that events tell, each once, until the job has ended."""
    states: list[str] = []
    async with AsyncKermaClient(url, token=token) as client:
        async for event in client.events():
            if isinstance(event, JobChanged) and event.id == job:
                if states[-1:] != [event.state]:
                    states.append(event.state)
                if event.over:
                    break
    return states


@pytest.mark.timeout(300)
def test_waiting_and_events_go_on_after_a_restart(kerma: Whole) -> None:
    url = kerma.running.url
    visitor = kerma.visitor().enter()
    token = visitor.http.post("/v1/tokens", json={"label": "x", "days": 1}).json()["token"]
    visitor.close()
    counted, seen = Counted(), []
    body = {"engine": "geant4", "tasks": 2, "project": demo_project(12_000)}
    with (
        KermaClient(url, token=token) as asking,
        KermaClient(url, token=token, transport=counted) as waiting,
        ThreadPoolExecutor(3) as threads,
    ):
        job = asking.submit(body)
        told = threads.submit(lambda: asyncio.run(_states(url, token, job)))
        done = threads.submit(
            lambda: waiting.wait(job, timeout=240, changed=lambda now: seen.append(now.state))
        )
        shown: Future[list[JobStatus]] = threads.submit(lambda: list(asking.follow(job)))
        eventually(lambda: "RUNNING" in seen, PATIENCE, "the job runs")
        restart(kerma)
        assert not done.done()
        assert done.result(PATIENCE).state == "COMPLETED"
        assert seen == sorted(set(seen), key=RANKS.index)
        states = told.result(PATIENCE)
        assert states == sorted(states, key=RANKS.index)
        assert states[-1] == "COMPLETED"
        last = shown.result(PATIENCE)[-1]
        assert (last.state, last.simulated) == ("COMPLETED", 12_000)
    assert counted.paths.count(f"/v1/jobs/{job}/events") >= 2
    looks = counted.paths.count(f"/v1/jobs/{job}")
    assert looks <= len(RANKS) + 8, "it polls"
    with KermaClient(url, token=token) as client:
        first = next(client.events(job))
        assert isinstance(first, JobChanged)
        assert first.id == job
