"""Auth, jobs and results, to which a YAPTIDE database is moved."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from kerma_common.infra import Infra
from kerma_jobs.main import build as build_jobs
from kerma_results.main import build as build_results
from kit.running.worlds.accounts import auth_service
from kit.running.worlds.services import MASTER_KEY, running


@dataclass
class Kerma:
    """HTTP clients and ports of the services."""

    auth: httpx.AsyncClient
    jobs: httpx.AsyncClient
    results: httpx.AsyncClient
    infra: dict[str, Infra]

    async def login(self, name: str, password: str) -> Visitor:
        """Log in; the answer must be a success."""
        self.auth.cookies.clear()
        who = {"username": name, "password": password}
        answer = await self.auth.post("/auth/login", json=who)
        assert answer.status_code == 202, answer.text
        return Visitor(self, answer.cookies["access_token"])


@dataclass
class Visitor:
    """A user who is logged in."""

    kerma: Kerma
    token: str

    async def get(self, path: str, status: int = 200, **query: Any) -> Any:
        """Return the answer of the service that a path belongs to."""
        of_results = path in ("/results", "/estimators", "/logfiles")
        client = self.kerma.results if of_results else self.kerma.jobs
        answer = await client.get(
            path, params=query, headers={"Authorization": f"Bearer {self.token}"}
        )
        assert answer.status_code == status, answer.text
        return answer.json()

    async def delete(self, job_id: str) -> None:
        answer = await self.kerma.jobs.delete(
            "/user/simulations",
            params={"job_id": job_id},
            headers={"Authorization": f"Bearer {self.token}"},
        )
        assert answer.status_code == 200, answer.text


@asynccontextmanager
async def moving(nats_url: str, postgres_url: str, blobs: Path) -> AsyncIterator[Kerma]:
    """Run the services with the settings of a command line in the environment."""
    where: dict[str, Any] = {"nats_url": nats_url, "postgres_url": postgres_url, "blobs": blobs}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERMA_NATS_URL", nats_url)
        patch.setenv("KERMA_PG_URL", postgres_url)
        patch.setenv("KERMA_BLOB_URL", f"file://{blobs}")
        patch.setenv("KERMA_AUTH_MASTER_KEY", MASTER_KEY)
        async with (
            auth_service(**where) as (auth, auth_infra),
            running("jobs", "kerma_jobs", build_jobs, **where) as (jobs, jobs_infra),
            running("results", "kerma_results", build_results, **where) as (results, infra),
        ):
            ports = {"auth": auth_infra, "jobs": jobs_infra, "results": infra}
            yield Kerma(auth, jobs, results, ports)
