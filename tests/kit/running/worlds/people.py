"""People with sessions, seen by auth and by a service that only follows it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jwt

from kerma_auth.domain.user import SYSTEM, USER, GrantRole
from kerma_common.commands.context import CommandContext
from kerma_common.contracts.subjects import user_subject
from kerma_common.infra import Infra
from kit.running.worlds.accounts import PASSWORD, auth_and_another, login, register

EVERYWHERE_SECONDS = 1.0
"""Within this time, a change is effective in every process."""


@dataclass(frozen=True)
class Person:
    """A user with an open session."""

    name: str
    user_id: str
    access: dict[str, str]
    refresh: dict[str, str]


@dataclass
class World:
    """Auth, and another service that knows AUTH by its own follower only."""

    auth: httpx.AsyncClient
    other: httpx.AsyncClient
    infra: Infra

    async def enter(self, name: str, password: str = PASSWORD) -> Person:
        """Log in."""
        answer = await login(self.auth, name, password)
        assert answer.status_code == 202, answer.text
        self.auth.cookies.clear()
        token = answer.cookies["access_token"]
        claims = jwt.decode(token, options={"verify_signature": False})
        return Person(
            name,
            claims["sub"],
            {"Authorization": f"Bearer {token}"},
            {"Cookie": f"refresh_token={answer.cookies['refresh_token']}"},
        )

    async def new(self, name: str, *roles: str) -> Person:
        """Register, get roles, and log in."""
        await register(self.auth, name)
        person = await self.enter(name)
        for role in roles:
            grant = GrantRole(person.user_id, role, SYSTEM)
            context = CommandContext("admin", (name, role), role, self.infra.clock())
            subject = user_subject(person.user_id)
            await self.infra.bus.execute(USER, subject, grant, context)
        return await self.enter(name) if roles else person

    async def ask(self, person: Person, method: str, path: str, body: Any = None) -> httpx.Response:
        """Send a request of a person to auth."""
        sent = {} if body is None else {"json": body}
        answer = await self.auth.request(method, path, headers=person.access, **sent)
        self.auth.cookies.clear()
        return answer

    async def elsewhere(self, person: Person) -> int:
        """Return how the other service answers a person."""
        return (await self.other.get("/clusters", headers=person.access)).status_code

    async def becomes(self, status: int, person: Person) -> None:
        """Wait until the other service answers so."""
        async with asyncio.timeout(EVERYWHERE_SECONDS):
            while await self.elsewhere(person) != status:
                await asyncio.sleep(0.01)

    async def refreshed(self, person: Person) -> int:
        """Return how a refresh is answered."""
        answer = await self.auth.get("/auth/refresh", headers=person.refresh)
        self.auth.cookies.clear()
        return answer.status_code


@asynccontextmanager
async def people(nats_url: str, postgres_url: str, blobs: Path) -> AsyncIterator[World]:
    """Run auth and another service."""
    where: dict[str, Any] = {"nats_url": nats_url, "postgres_url": postgres_url, "blobs": blobs}
    async with auth_and_another(**where) as (client, infra, far):
        yield World(client, far, infra)
