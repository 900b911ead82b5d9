"""A script on a cluster that reports on one job of a running Kerma over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from kerma_allinone.admin.system import open_service
from kerma_common.clock import system_clock
from kerma_common.contracts.subjects import job_subject
from kerma_common.security.update_keys import load_update_keys
from kit.inputs.projects import submission
from kit.running.clients.browsers import as_operator
from kit.running.clients.deliveries import estimator, page
from kit.running.whole import Whole

SHOWN = ("/jobs", "/jobs/direct", "/jobs/batch")
"""Paths of the status."""


@dataclass(frozen=True)
class Script:
    """The script, and the browser of the job's owner."""

    http: httpx.Client
    owner: httpx.Client
    job: str
    number: int
    key: str = field(repr=False)

    def with_key(self, key: Any) -> Script:
        """Return the script with another key, or what stands for one."""
        return replace(self, key=key)

    @property
    def named(self) -> dict[str, Any]:
        """Return what a body of the script begins with."""
        return {"simulation_id": self.number, "update_key": self.key}

    def post(self, path: str, **body: Any) -> httpx.Response:
        """Post a body with the job's number and key."""
        return self.http.post(path, json={**self.named, **body})

    def task(self, number: object, **said: object) -> httpx.Response:
        """Report on a task."""
        return self.post("/tasks", task_id=number, update_dict=said)

    def report(self, **said: object) -> httpx.Response:
        """Report on the job."""
        body = {"sim_id": self.number, "update_key": self.key, **said}
        return self.http.post("/jobs", json=body)

    def results(self, estimators: Sequence[Mapping[str, Any]]) -> httpx.Response:
        """Post results."""
        return self.post("/results", estimators=estimators)

    def tell(self, *states: str) -> None:
        """Report the states of the first tasks."""
        for number, state in enumerate(states, start=1):
            accepted(self.task(number, task_state=state))

    def get(self, path: str, **query: Any) -> httpx.Response:
        """Ask about the job as its owner."""
        return self.owner.get(path, params={"job_id": self.job, **query})

    def status(self, path: str = "/jobs") -> dict[str, Any]:
        """Return the status as its owner sees it."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    def first(self) -> dict[str, Any]:
        """Return what is shown of the first task."""
        task: dict[str, Any] = self.status()["job_tasks_status"][0]
        return task

    def states(self, path: str = "/jobs") -> list[str]:
        """Return the state of the job and those of its tasks."""
        shown = self.status(path)
        return [shown["job_state"], *(task["task_state"] for task in shown["job_tasks_status"])]

    def cancel(self) -> None:
        """Cancel the job as its owner."""
        answer = self.owner.delete("/jobs/batch", params={"job_id": self.job})
        assert answer.status_code == 200, answer.text


def accepted(answer: httpx.Response) -> None:
    """Require the answer to a report that is accepted."""
    assert answer.status_code == 202, answer.text
    assert set(answer.json()) == {"message"}


def job_on_a_cluster(owner: httpx.Client, **changes: Any) -> str:
    """Submit a job for a cluster, of two tasks with ten primaries each."""
    body = submission(20, 2, title="on a cluster", sim_type="shieldhit", **changes)
    answer = owner.post("/jobs/batch", json=body)
    assert answer.status_code == 202, answer.text
    assert set(answer.json()) == {"message", "job_id"}
    job: str = answer.json()["job_id"]
    return job


@dataclass
class Scripts:
    """Scripts, each of a new job; keys are issued for many at a time, as that takes a while."""

    kerma: Whole
    http: httpx.Client
    owner: httpx.Client
    spare: list[Script] = field(default_factory=list)

    def take(self, at_once: int = 20) -> Script:
        """Return the script of a job that nothing has been said of."""
        if not self.spare:
            jobs = [job_on_a_cluster(self.owner) for _ in range(at_once)]
            with as_operator(self.kerma):
                self.spare = asyncio.run(self._with_keys(jobs))
        return self.spare.pop()

    def key(self, job: str, number: int) -> str:
        """Return a key that the services accept, also for a job that does not exist."""
        with as_operator(self.kerma):
            return load_update_keys(system_clock).issue(job, number)[0]

    async def _with_keys(self, jobs: Sequence[str]) -> list[Script]:
        keys, made = load_update_keys(system_clock), []
        async with open_service("jobs") as infra:
            for job in jobs:
                number = (await infra.log.load(job_subject(job)))[0].seq
                key, _ = keys.issue(job, number)
                made.append(Script(self.http, self.owner, job, number, key))
        return made


def values_of(outputs: Sequence[str], number: float = 1.0) -> list[dict[str, Any]]:
    """Return an estimator of one page per output, each with its own value."""
    return [estimator(name, page(0, [number + place])) for place, name in enumerate(outputs)]
