"""Operators' actions on accounts, with the settings of the services."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from kerma_allinone.admin.system import ACTOR, open_service
from kerma_auth.domain.names import name_key
from kerma_auth.domain.user import SYSTEM
from kerma_auth.main import Handlers, handlers_of
from kerma_common.errors import InvalidRequest, NotFound
from kerma_common.security.principal import KEYCLOAK, NATIVE

PAGE = 1000


@dataclass(frozen=True, slots=True)
class Listed:
    """One account."""

    user_id: str
    username: str
    source: str
    roles: tuple[str, ...]
    disabled: bool
    registered_at: datetime


async def listed() -> list[Listed]:
    """Return all accounts in the order of their names."""
    found = []
    async with handlers() as auth:
        after = ""
        while page := await auth.users.page(after, PAGE):
            after = page[-1].user_id
            names = await auth.accounts.vault.usernames([user.user_id for user in page])
            found += [
                Listed(
                    user.user_id,
                    names.get(user.user_id, ""),
                    user.source,
                    tuple(user.roles),
                    user.disabled,
                    user.registered_at,
                )
                for user in page
            ]
    return sorted(found, key=lambda user: (user.username, user.user_id))


async def add(name: str, password: str | None) -> str:
    """Create an account with a password, by default a random one, and return that."""
    async with handlers() as auth:
        made = await auth.accounts.create(name, password, "", ACTOR)
        return made.password or str(password)


async def reset_password(name: str, password: str | None) -> str:
    """Give a user a password, by default a random one, and return it; all sessions end."""
    async with handlers() as auth:
        user_id = await user_id_of(auth, name)
        chosen, _ = await auth.administration.reset_password(
            user_id, password, SYSTEM, "", _request_id()
        )
        return chosen


async def id_of(name: str) -> str:
    """Return the id of the user with a name, or with an id. Raises NotFound, InvalidRequest."""
    async with handlers() as auth:
        return await user_id_of(auth, name)


async def names(user_ids: Sequence[str]) -> Mapping[str, str]:
    """Return the names of users by their ids."""
    async with handlers() as auth:
        return await auth.accounts.vault.usernames(sorted(set(user_ids)))


async def remove(user_id: str, jobs: Callable[[], Awaitable[int]]) -> int:
    """Remove a user; ``jobs`` removes the user's jobs. Return how many it removed."""
    removed = 0

    async def with_jobs() -> None:
        nonlocal removed
        removed = await jobs()

    async with handlers() as auth:
        await auth.removals.start(user_id, SYSTEM, ACTOR, _request_id(), with_jobs)
    return removed


async def disable(name: str) -> None:
    """Refuse every token and login of a user."""
    async with handlers() as auth:
        user_id = await user_id_of(auth, name)
        await auth.administration.disable(user_id, SYSTEM, _request_id(), even_last=True)


async def enable(name: str) -> None:
    """Let a user log in again."""
    async with handlers() as auth:
        await auth.administration.enable(await user_id_of(auth, name), SYSTEM, _request_id())


async def grant(name: str, role: str) -> None:
    """Give a role to a user."""
    async with handlers() as auth:
        await auth.administration.grant(await user_id_of(auth, name), role, SYSTEM, _request_id())


async def revoke(name: str, role: str) -> None:
    """Take a role from a user."""
    async with handlers() as auth:
        await auth.administration.revoke(await user_id_of(auth, name), role, SYSTEM, _request_id())


async def user_id_of(auth: Handlers, name: str) -> str:
    """Return the id of the user with a name, or with an id. Raises NotFound, InvalidRequest.

    A user whose removal was interrupted has no name any more; the id derives from it.
    """
    vault = auth.accounts.vault
    named = set(await vault.named(name_key(name)))
    exact = {user_id for user_id in named if await auth.accounts.username(user_id) == name}
    spelt = {name, name_key(name)}
    derived = {
        vault.user_id(source, spelling) for source in (NATIVE, KEYCLOAK) for spelling in spelt
    }
    nameless = derived - set(await vault.usernames(sorted(derived)))
    found = await auth.users.accounts_of(sorted((exact or named or {name}) | nameless))
    if not found:
        raise NotFound(f"there is no user {name}")
    if len(found) > 1:
        raise InvalidRequest(f"{name} could be {' or '.join(sorted(found))}; give the id")
    return next(iter(found))


def _request_id() -> str:
    return str(uuid4())


@asynccontextmanager
async def handlers() -> AsyncIterator[Handlers]:
    async with open_service("auth") as infra:
        yield handlers_of(infra)
