"""The rules of consistency under 32 clients that submit, poll, cancel, delete and refresh at once.

Every answer is checked: what was written is read; a state only moves on and stays when it is final;
counters only grow; state and tasks are of one moment; a completed job can be read; repeats are harmless.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from kit.inputs.projects import submission
from kit.programs.family import PATIENCE
from kit.running.whole import Whole

CLIENTS, USERS = 32, 8
STATES = "PENDING,RUNNING,MERGING_QUEUED,MERGING_RUNNING,FAILED,COMPLETED,CANCELED"
RANK = {
    "PENDING": 0,
    "RUNNING": 1,
    "MERGING_QUEUED": 2,
    "MERGING_RUNNING": 3,
    "COMPLETED": 4,
    "FAILED": 4,
    "CANCELED": 4,
}
STATUS = {"message", "job_state", "job_tasks_status", "partial_results_available"}
FINAL = {"COMPLETED", "FAILED", "CANCELED"}
UNKNOWN = "Job with provided ID does not exist"


@dataclass
class Watched:
    """A job as one client has seen it so far."""

    client: httpx.AsyncClient
    job: str
    state: str = "PENDING"
    tasks: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0

    async def get(self, path: str, status: int = 200) -> dict[str, Any]:
        """Ask; who is told to come again does."""
        async with asyncio.timeout(PATIENCE):
            while True:
                answer = await self.client.get(path, params={"job_id": self.job})
                if answer.status_code != 503:
                    break
                await asyncio.sleep(float(answer.headers["Retry-After"]))
        assert answer.status_code == status, (path, answer.status_code, answer.text)
        body: dict[str, Any] = answer.json()
        assert isinstance(body["message"], str)
        return body

    async def delete(self, path: str, status: int = 200) -> dict[str, Any]:
        answer = await self.client.delete(path, params={"job_id": self.job})
        assert answer.status_code == status, (path, answer.status_code, answer.text)
        body: dict[str, Any] = answer.json()
        return body

    async def poll(self) -> str:
        """Ask for the status by one of both paths, and check it against all that was seen."""
        self.asked += 1
        body = await self.get("/jobs" if self.asked % 2 else "/jobs/direct")
        assert body.keys() == STATUS
        state, tasks = body["job_state"], body["job_tasks_status"]
        assert RANK[state] >= RANK[self.state], f"{self.job} went from {self.state} to {state}"
        if self.state in FINAL:
            assert state == self.state
            # the last tasks of a cancelled job are still stopping, and get their end
            assert state != "COMPLETED" or tasks == self.tasks
        self._check_tasks(state, tasks)
        self.state, self.tasks = state, tasks
        if state == "COMPLETED":
            await self.check_readable()
        return str(state)

    def _check_tasks(self, state: str, tasks: list[dict[str, Any]]) -> None:
        assert [task["task_id"] for task in tasks] == list(range(len(tasks)))
        states = {task["task_state"] for task in tasks}
        if state.startswith("MERGING") or state in FINAL:
            assert not states & {"PENDING", "RUNNING"}, (state, tasks)
        if state == "PENDING":
            assert states == {"PENDING"}
        for task, before in zip(tasks, self.tasks or tasks, strict=True):
            simulated, wanted = task["simulated_primaries"], task["requested_primaries"]
            assert wanted == before["requested_primaries"] > 0
            assert before["simulated_primaries"] <= simulated <= wanted
            if task["task_state"] == "COMPLETED":
                assert simulated == wanted
                assert task["start_time"]
                assert task["end_time"]

    async def check_readable(self) -> None:
        """Check that whoever sees COMPLETED can read everything."""
        listed = (await self.get("/estimators"))["estimators_metadata"]
        results = (await self.get("/results"))["estimators"]
        assert [known["name"] for known in listed] == [known["name"] for known in results] != []
        for known, read in zip(listed, results, strict=True):
            numbers = [page["page_number"] for page in known["pages_metadata"]]
            assert numbers == [int(page["metadata"]["page_number"]) for page in read["pages"]] != []

    async def inputs(self) -> dict[str, Any]:
        return await self.get("/inputs")

    async def listed(self) -> dict[str, Any] | None:
        """Return the job's entry in its user's list."""
        asked: dict[str, str | int] = {"page_size": 200, "job_state": STATES}
        answer = await self.client.get("/user/simulations", params=asked)
        assert answer.status_code == 200, answer.text
        found = [job for job in answer.json()["simulations"] if job["job_id"] == self.job]
        assert len(found) <= 1
        return found[0] if found else None

    async def until(self, *states: str) -> None:
        async with asyncio.timeout(PATIENCE * 4):
            while await self.poll() not in states:
                await asyncio.sleep(0.3)

    async def cancel(self) -> None:
        """Cancel twice; it shows at once, unless the job has ended."""
        for _ in range(2):
            answer = await self.delete("/jobs/direct")
            assert answer.get("job_state", "CANCELED") in FINAL
        assert await self.poll() in FINAL

    async def vanish(self) -> None:
        """Delete again and again, each time without a trace of the job afterwards."""
        assert self.state in FINAL
        for _ in range(3):
            await self.delete("/user/simulations")
            for path in ("/jobs", "/jobs/direct", "/inputs"):
                assert (await self.get(path, 404))["message"] == UNKNOWN
            assert await self.listed() is None
        await self.delete("/jobs/direct", 404)


async def at_once(job: Watched) -> None:
    """Cancel and delete before anything has happened."""
    await job.cancel()
    await job.vanish()


async def while_running(job: Watched) -> None:
    """Refuse a deletion, then cancel and delete as soon as a task runs."""
    if job.state not in FINAL:
        refused = await job.client.delete("/user/simulations", params={"job_id": job.job})
        if refused.status_code == 403:
            assert "cancel it first" in refused.json()["message"]
        else:  # it has ended meanwhile, so it is gone
            assert refused.status_code == 200, refused.text
            job.state = "COMPLETED"
            await job.vanish()
            return
    await job.until("RUNNING", *FINAL)
    await job.cancel()
    for _ in range(3):
        await job.poll()
    await job.vanish()


async def to_the_end(job: Watched) -> None:
    """Wait for the results; the end is final, and a cancellation changes nothing."""
    await job.until(*FINAL)
    assert job.state == "COMPLETED"
    assert (await job.delete("/jobs/direct"))["job_state"] == "COMPLETED"
    for _ in range(3):
        await job.poll()
    await job.vanish()


PLANS: tuple[Callable[[Watched], Awaitable[None]], ...] = (
    at_once,
    while_running,
    at_once,
    to_the_end,
)


async def submitted(client: httpx.AsyncClient, body: dict[str, Any], key: str) -> str:
    """Submit; a busy server says so, and a repetition with the key is the same job."""
    async with asyncio.timeout(PATIENCE):
        while True:
            headers = {"Idempotency-Key": key}
            answer = await client.post("/jobs/direct", json=body, headers=headers)
            if answer.status_code != 503:
                break
            await asyncio.sleep(float(answer.headers["Retry-After"]))
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


async def visit(client: httpx.AsyncClient, number: int, rounds: int, draw: random.Random) -> None:
    """Run the rounds of one client."""
    for turn in range(rounds):
        await asyncio.sleep(draw.uniform(0, 1))
        body = submission(20, 2, title=f"{number} {turn}")
        key = f"{number}-{turn}-{draw.random()}"
        job = Watched(client, await submitted(client, body, key))
        assert await submitted(client, body, key) == job.job
        # what was written can be read, whatever is asked first
        first: list[Callable[[], Awaitable[Any]]] = [job.poll, job.listed, job.inputs]
        draw.shuffle(first)
        assert all([await ask() for ask in first])
        await PLANS[(number + turn) % len(PLANS)](job)
        refreshed = await client.get("/auth/refresh")
        assert refreshed.status_code == 200, refreshed.text


@pytest.mark.parametrize("rounds", [1, pytest.param(4, marks=pytest.mark.slow)])
async def test_the_rules_hold_for_32_clients_at_once(kerma: Whole, rounds: int) -> None:
    url = kerma.running.url
    clients = [httpx.AsyncClient(base_url=url, timeout=PATIENCE) for _ in range(CLIENTS)]
    try:
        for number, client in enumerate(clients[:USERS]):
            registered = await client.put("/auth/register", json=_name(number, rounds))
            assert registered.status_code == 201, registered.text
        async with asyncio.TaskGroup() as group:
            for number, client in enumerate(clients):
                group.create_task(_log_in(client, _name(number, rounds)))
        async with asyncio.TaskGroup() as group:
            for number, client in enumerate(clients):
                group.create_task(visit(client, number, rounds, random.Random(number)))
        left = [await _number(client) for client in clients]
    finally:
        for client in clients:
            await client.aclose()
    assert left == [0] * CLIENTS


def _name(number: int, rounds: int) -> dict[str, str]:
    """Return one of the users of a test; each test has its own."""
    return {
        "username": f"hammer{number % USERS} of {rounds}",
        "password": "a hammer of some length",
    }


async def _log_in(client: httpx.AsyncClient, name: dict[str, str]) -> None:
    """Log in; so many logins at once are told to come again."""
    async with asyncio.timeout(PATIENCE):
        while (answer := await client.post("/auth/login", json=name)).status_code == 503:
            await asyncio.sleep(0.2)
    assert answer.status_code == 202, answer.text


async def _number(client: httpx.AsyncClient) -> int:
    answer = await client.get("/user/simulations", params={"job_state": STATES})
    number: int = answer.json()["simulations_count"]
    return number
