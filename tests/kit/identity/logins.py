"""What logins through every provider have in common, whoever wrote it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytest

from kit.identity.federation import Federation, federation
from kit.identity.provider import CLIENT
from kit.identity.realms import LoginRefusedError, Realm

R = TypeVar("R", bound=Realm)


@dataclass
class RealmWorld(Generic[R]):
    """A realm, and services that trust it."""

    realm: R
    auth: Federation


@asynccontextmanager
async def realm_world(
    realm: R, nats_url: str, postgres_url: str, blobs: Path
) -> AsyncIterator[RealmWorld[R]]:
    """Run services that trust a realm."""
    stored: dict[str, Any] = {"nats_url": nats_url, "postgres_url": postgres_url, "blobs": blobs}
    async with federation(realm.issuer, stored) as auth:
        yield RealmWorld(realm, auth)


class RealmLogins:
    """Tests of a realm; a subclass in a module with a fixture ``world`` runs them."""

    async def test_a_login_by_code_and_pkce_opens_a_session(self, world: RealmWorld[Realm]) -> None:
        """The session is good in other services too, and can be refreshed."""
        tokens = await world.realm.log_in("plgada", "ada-word")
        audience = tokens.claims.get("aud", [])
        assert CLIENT in {
            tokens.claims.get("azp"),
            *([audience] if isinstance(audience, str) else audience),
        }
        entered = await world.auth.enter(tokens.access, "plgada")
        status = (await world.auth.status(entered)).json()
        assert (status["username"], status["source"]) == ("plgada", "keycloak")
        await world.auth.becomes(200, entered)
        assert (await world.auth.refreshed(entered.refresh)).status_code == 200

    async def test_a_wrong_password_gets_no_token(self, world: RealmWorld[Realm]) -> None:
        """The realm's page refuses it."""
        with pytest.raises(LoginRefusedError):
            await world.realm.log_in("plgada", "eve-word")

    async def test_a_refreshed_token_prolongs_the_session(self, world: RealmWorld[Realm]) -> None:
        """The browser's session goes on under its id."""
        tokens = await world.realm.log_in("plgada", "ada-word")
        entered = await world.auth.enter(tokens.access, "plgada")
        refreshed = await world.realm.refresh(tokens)
        assert refreshed.access != tokens.access
        cookies = {"refresh_token": entered.refresh}
        again = await world.auth.enter(refreshed.access, "plgada", cookies)
        assert again.claims["sid"] == entered.claims["sid"]

    @pytest.mark.parametrize(("name", "word"), [("plgbob", "bob-word"), ("plgcarl", "carl-word")])
    async def test_a_user_without_access_stays_out(
        self, world: RealmWorld[Realm], name: str, word: str
    ) -> None:
        """The claim is missing, or contains something else."""
        tokens = await world.realm.log_in(name, word)
        answer = await world.auth.exchange(tokens.access, name)
        assert answer.status_code == 403
        assert answer.json()["message"] == f"User {name} has no access to our service"

    async def test_a_token_for_another_application_is_refused(
        self, world: RealmWorld[Realm]
    ) -> None:
        """Its client is none of ours."""
        tokens = await world.realm.log_in("plgada", "ada-word", "some-other-app")
        answer = await world.auth.exchange(tokens.access, "plgada")
        assert answer.status_code == 403
        assert "another application" in answer.json()["message"]

    async def test_impersonation_by_the_body_is_refused(self, world: RealmWorld[Realm]) -> None:
        """The token says who its user is."""
        tokens = await world.realm.log_in("plgeve", "eve-word")
        answer = await world.auth.exchange(tokens.access, "plgada")
        refusal = (answer.status_code, answer.json()["message"])
        assert refusal == (403, "The token is not that of this user")
