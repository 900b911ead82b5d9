"""Routes for accounts: people change their own, operators and admins those of others."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from kerma_auth.api import views
from kerma_auth.api.routes import AuthRoutes, address_of, require_session
from kerma_auth.app.accounts import MAX_PASSWORD, Accounts
from kerma_auth.app.administration import Administration
from kerma_auth.app.ports import Account, Users
from kerma_auth.app.removal import Removals
from kerma_auth.domain.names import MAX_NAME
from kerma_auth.domain.user import By
from kerma_common.commands.lateness import Lateness
from kerma_common.errors import NotFound
from kerma_common.http.answers import iso_time, json_answer
from kerma_common.http.edge import request_id
from kerma_common.http.idempotency import Repeatable
from kerma_common.http.native import (
    ITEMS,
    Cursor,
    Limit,
    cursor,
    done,
    made,
    page,
    read_cursor,
    resource,
)
from kerma_common.http.policy import CurrentPrincipal, Principal, authenticated, role
from kerma_common.http.refusals.statuses import Body, answers
from kerma_common.http.route import KermaRoute
from kerma_common.security.roles import ADMIN, OPERATOR

PRIVATE = {"Cache-Control": "no-store"}
_USER_ID = re.compile("[0-9a-f]{32}")

UserId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
Role = Annotated[str, Path(pattern="^[a-z][a-z0-9_-]{0,31}$")]
Password = Annotated[str, Field(max_length=MAX_PASSWORD)]
Change = Callable[..., Awaitable[int]]
"""Changes a user; ``by`` and ``request_id`` are keywords. Returns the sequence of the commit."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class NewUser(_Body):
    """A user to create; without a password, a random one is returned."""

    username: Annotated[str, Field(max_length=MAX_NAME)]
    password: Password | None = None


class NewPassword(_Body):
    """A password for a user who has lost it; without one, a random one is returned."""

    password: Password | None = None


class ChangedPassword(_Body):
    """The present password and the new one."""

    old_password: Password
    new_password: Password


_GOOD = "correct horse battery"
NEW_USER = Body(NewUser, {"username": "grace"})
NEW_PASSWORD = Body(NewPassword, {"password": _GOOD})
CHANGED_PASSWORD = Body(
    ChangedPassword, {"old_password": "wrong pony battery", "new_password": _GOOD}
)


@dataclass(frozen=True, slots=True)
class UserRoutes:
    """Dependencies of the routes."""

    accounts: Accounts
    administration: Administration
    users: Users
    removals: Removals
    auth: AuthRoutes
    lateness: Lateness

    async def shown(self, accounts: list[Account]) -> list[dict[str, Any]]:
        """Return accounts as JSON, with the users' names."""
        names = await self.accounts.vault.usernames([account.user_id for account in accounts])
        return [
            {
                "id": account.user_id,
                "username": names.get(account.user_id),
                "source": account.source,
                "roles": list(account.roles),
                "disabled": account.disabled,
                "registered_at": iso_time(account.registered_at),
            }
            for account in accounts
        ]

    async def one(self, user_id: str) -> dict[str, Any]:
        """Return one account as JSON. Raises NotFound."""
        found = await self.lateness.find(user_id, lambda: self._account(user_id))
        if found is None:
            raise NotFound("User does not exist")
        return (await self.shown([found]))[0]

    async def _account(self, user_id: str) -> Account | None:
        return (await self.users.accounts_of([user_id])).get(user_id)

    async def changed(self, change: Change, user_id: str, principal: Principal) -> Response:
        """Carry out a change of an account and return the account."""
        await self.auth.settled(await change(user_id, by=_by(principal), request_id=request_id()))
        return json_answer(await self.one(user_id))


def router(routes: UserRoutes) -> APIRouter:
    """Return all routes below ``/v1/users``."""
    api = APIRouter(route_class=KermaRoute, prefix="/v1/users")
    _add_own(api, routes)
    _add_reads(api, routes)
    _add_creation(api, routes)
    _add_switches(api, routes)
    _add_removal(api, routes)
    _add_roles(api, routes)
    return api


def _add_own(api: APIRouter, routes: UserRoutes) -> None:
    @api.get("/me")
    @authenticated()
    @answers(200, 304, 404, shows=views.USER)
    async def get_own_user(request: Request, principal: CurrentPrincipal) -> Response:
        return resource(request, await routes.one(principal.user_id))

    @api.put("/me/password")
    @authenticated()
    @answers(204, 404, 409, 429, takes=CHANGED_PASSWORD)
    async def change_password(
        body: ChangedPassword, request: Request, principal: CurrentPrincipal
    ) -> Response:
        require_session(principal)
        session, address = principal.session_id, address_of(request)
        seq = await routes.administration.change_password(
            session, body.old_password, body.new_password, address, request_id()
        )
        await routes.auth.settled(seq)
        # The tokens of all sessions are void, also of this one, which goes on.
        token, expires = await routes.auth.sessions.renew(session)
        response = done()
        routes.auth.set_access_cookie(request, response, token, expires)
        return response


def _add_reads(api: APIRouter, routes: UserRoutes) -> None:
    @api.get("")
    @role(OPERATOR, ADMIN)
    @answers(200, 304, shows=views.USERS)
    async def list_users(request: Request, cursor: Cursor = None, limit: Limit = ITEMS) -> Response:
        after = read_cursor(cursor, _user_id) or ""
        found = list(await routes.users.page(after, limit + 1))
        shown = found[:limit]
        following = _cursor_of(shown[-1].user_id) if found[limit:] else None
        return resource(request, page(await routes.shown(shown), following))

    @api.get("/{user_id}")
    @role(OPERATOR, ADMIN)
    @answers(200, 304, 404, shows=views.USER)
    async def get_user(user_id: UserId, request: Request) -> Response:
        return resource(request, await routes.one(user_id))


def _cursor_of(user_id: str) -> str:
    return cursor(user_id)


def _user_id(parts: list[Any]) -> str:
    (user_id,) = parts
    if not isinstance(user_id, str) or not _USER_ID.fullmatch(user_id):
        raise ValueError
    return user_id


def _add_creation(api: APIRouter, routes: UserRoutes) -> None:
    @api.post("")
    @role(OPERATOR, ADMIN)
    @answers(201, 409, 422, takes=NEW_USER, shows=views.CREATED_USER)
    async def create_user(
        body: NewUser, request: Request, principal: CurrentPrincipal, key: Repeatable
    ) -> Response:
        actor = f"user:{principal.user_id}"
        new = await routes.accounts.create(
            body.username, body.password, address_of(request), actor, key
        )
        await routes.auth.settled(new.seq)
        told: dict[str, Any] = {} if new.password is None else {"password": new.password}
        return made({"id": new.user_id, **told}, f"/v1/users/{new.user_id}", **PRIVATE)

    @api.post("/{user_id}/password-reset")
    @role(OPERATOR, ADMIN)
    @answers(200, 404, 409, takes=NEW_PASSWORD, shows=views.RESET)
    async def reset_password(
        user_id: UserId, body: NewPassword, request: Request, principal: CurrentPrincipal
    ) -> Response:
        password, seq = await routes.administration.reset_password(
            user_id, body.password, _by(principal), address_of(request), request_id()
        )
        await routes.auth.settled(seq)
        given: dict[str, Any] = {} if body.password else {"password": password}
        return json_answer(given, headers=PRIVATE)


def _add_switches(api: APIRouter, routes: UserRoutes) -> None:
    @api.post("/{user_id}/disable")
    @role(OPERATOR, ADMIN)
    @answers(200, 404, 409, shows=views.USER)
    async def disable_user(user_id: UserId, principal: CurrentPrincipal) -> Response:
        change = routes.administration.disable
        return await routes.changed(change, user_id, principal)

    @api.post("/{user_id}/enable")
    @role(OPERATOR, ADMIN)
    @answers(200, 404, 409, shows=views.USER)
    async def enable_user(user_id: UserId, principal: CurrentPrincipal) -> Response:
        change = routes.administration.enable
        return await routes.changed(change, user_id, principal)


def _add_removal(api: APIRouter, routes: UserRoutes) -> None:
    @api.delete("/{user_id}")
    @role(OPERATOR, ADMIN)
    @answers(204, 404, 409)
    async def remove_user(user_id: UserId, principal: CurrentPrincipal) -> Response:
        by, actor = _by(principal), f"user:{principal.user_id}"
        seq = await routes.removals.start(user_id, by, actor, request_id())
        await routes.auth.settled(seq)
        return done()


def _add_roles(api: APIRouter, routes: UserRoutes) -> None:
    @api.put("/{user_id}/roles/{name}")
    @role(ADMIN)
    @answers(200, 404, 409, shows=views.USER)
    async def grant_role(user_id: UserId, name: Role, principal: CurrentPrincipal) -> Response:
        change = partial(routes.administration.grant, role=name)
        return await routes.changed(change, user_id, principal)

    @api.delete("/{user_id}/roles/{name}")
    @role(ADMIN)
    @answers(200, 404, 409, shows=views.USER)
    async def revoke_role(user_id: UserId, name: Role, principal: CurrentPrincipal) -> Response:
        change = partial(routes.administration.revoke, role=name)
        return await routes.changed(change, user_id, principal)


def _by(principal: Principal) -> By:
    return By(principal.user_id, principal.roles)
