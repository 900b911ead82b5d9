"""Jobs on a cluster, run by a script that reports with an update key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import httpx

from kerma_common.clock import system_clock
from kerma_common.contracts.events import batch
from kerma_common.contracts.subjects import cluster_subject, job_subject
from kerma_common.infra import Infra
from kerma_common.security.update_keys import load_update_keys
from kit.inputs.projects import submission
from kit.running.worlds.jobs_world import append, as_user


async def register(infra: Infra, name: str) -> str:
    """Register a cluster, as an operator would; return its id."""
    cluster = uuid4().hex[:16]
    registered = batch.ClusterRegistered(
        cluster=cluster, name=name, host=f"{name}.example", port=22, scheduler="slurm"
    )
    await append(infra, cluster_subject(cluster), registered)
    return cluster


async def remove(infra: Infra, cluster: str) -> None:
    """Remove a cluster."""
    await append(infra, cluster_subject(cluster), batch.ClusterRemoved(cluster=cluster))


@dataclass(frozen=True)
class Script:
    """A script on a cluster that runs one job, and the job's owner."""

    client: httpx.AsyncClient
    infra: Infra
    send: Callable[..., Any]
    job: str
    number: int
    key: str

    async def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        return await self.client.post(path, json=body)

    def task_body(self, task: object, **said: object) -> dict[str, Any]:
        return {
            "simulation_id": self.number,
            "task_id": task,
            "update_key": self.key,
            "update_dict": said,
        }

    async def task(self, number: object, **said: object) -> httpx.Response:
        return await self.post("/tasks", self.task_body(number, **said))

    async def report(self, **said: object) -> httpx.Response:
        return await self.post("/jobs", {"sim_id": self.number, "update_key": self.key, **said})

    async def said(self, number: object, **said: object) -> None:
        answer = await self.task(number, **said)
        assert answer.status_code == 202, answer.text
        assert set(answer.json()) == {"message"}

    async def status(self, path: str = "/jobs") -> dict[str, Any]:
        answer = await self.send("GET", path, params={"job_id": self.job})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def states(self) -> list[str]:
        found = await self.status()
        return [found["job_state"], *(t["task_state"] for t in found["job_tasks_status"])]

    async def events(self) -> list[str]:
        history = await self.infra.log.load(job_subject(self.job))
        return [event.type for record in history for event in record.commit.events]

    def with_key(self, key: str) -> Script:
        return replace(self, key=key)


async def run(
    client: httpx.AsyncClient,
    infra: Infra,
    *,
    tasks: int = 2,
    primaries: int = 20,
    sim_type: str = "geant4",
) -> Script:
    """Submit a job to the cluster as a new user of Keycloak; return the script that runs it."""
    send = as_user(client, "kc")
    body = submission(primaries=primaries, tasks=tasks, sim_type=sim_type)
    answer = await send("POST", "/jobs/batch", json=body)
    assert answer.status_code == 202, answer.text
    assert set(answer.json()) == {"message", "job_id"}
    job = answer.json()["job_id"]
    number = (await infra.log.load(job_subject(job)))[0].seq
    key, _ = load_update_keys(system_clock).issue(job, number)
    return Script(client, infra, send, job, number, key)
