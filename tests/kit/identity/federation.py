"""Auth with a configured provider, beside another service, and people who come from there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
import pytest

from kerma_common.infra import Infra
from kit.identity.provider import CLIENT
from kit.programs.family import PATIENCE
from kit.running.worlds.accounts import auth_and_another

EVERYWHERE_SECONDS = 1.0
"""Within this time, a change is effective in every process."""


@dataclass(frozen=True)
class Entered:
    """A session of somebody who came from the provider."""

    answer: httpx.Response

    @property
    def access(self) -> str:
        """Return the access token."""
        return self.answer.cookies["access_token"]

    @property
    def refresh(self) -> str:
        """Return the refresh token."""
        return self.answer.cookies["refresh_token"]

    @property
    def claims(self) -> dict[str, Any]:
        """Return what the access token says."""
        claims: dict[str, Any] = jwt.decode(self.access, options={"verify_signature": False})
        return claims

    @property
    def user_id(self) -> str:
        """Return the id of the user."""
        return str(self.claims["sub"])


@dataclass
class Federation:
    """Auth, and another service that knows AUTH by its own follower only."""

    auth: httpx.AsyncClient
    other: httpx.AsyncClient
    infra: Infra

    async def exchange(
        self,
        token: str,
        username: object,
        client: httpx.AsyncClient | None = None,
        cookies: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Try to exchange a provider's token."""
        headers = {"Authorization": f"Bearer {token}"}
        return await self.ask(
            "POST", "/auth/keycloak", {"username": username}, headers, client, cookies=cookies
        )

    async def enter(
        self, token: str, username: str, cookies: Mapping[str, str] | None = None
    ) -> Entered:
        """Exchange a provider's token."""
        answer = await self.exchange(token, username, cookies=cookies)
        assert answer.status_code == 202, answer.text
        return Entered(answer)

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        client: httpx.AsyncClient | None = None,
        cookies: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send a request with these cookies and no others."""
        sent = dict(headers or {})
        if cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        content: dict[str, Any] = {} if body is None else {"json": body}
        client = client or self.auth
        answer = await client.request(method, path, headers=sent, **content)
        client.cookies.clear()
        return answer

    async def status(self, entered: Entered) -> httpx.Response:
        """Return what auth says about a session."""
        return await self.ask("GET", "/auth/status", cookies={"access_token": entered.access})

    async def refreshed(self, refresh: str) -> httpx.Response:
        """Use a refresh token."""
        return await self.ask("GET", "/auth/refresh", cookies={"refresh_token": refresh})

    async def becomes(self, status: int, entered: Entered) -> None:
        """Wait until the other service answers with a status."""
        headers = {"Authorization": f"Bearer {entered.access}"}
        seconds = EVERYWHERE_SECONDS if status == 403 else PATIENCE
        async with asyncio.timeout(seconds):
            while (await self.other.get("/clusters", headers=headers)).status_code != status:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def federation(
    issuer: str, stored: Mapping[str, Any], **settings: str
) -> AsyncIterator[Federation]:
    """Run auth with the provider of an issuer; further settings without their prefix."""
    values = {"KEYCLOAK_ISSUER": issuer, "KEYCLOAK_CLIENTS": f"other-ui,{CLIENT}", **settings}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(f"KERMA_AUTH_{name}", value)
        async with auth_and_another(**stored) as (client, infra, far):
            yield Federation(client, far, infra)
