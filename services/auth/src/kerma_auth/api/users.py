"""Routes for accounts: people change their own, operators and admins those of others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from kerma_auth.api.routes import AuthRoutes, address_of, require_session
from kerma_auth.app.accounts import MAX_PASSWORD, Accounts
from kerma_auth.app.administration import Administration
from kerma_auth.app.ports import Account, Users
from kerma_auth.domain.names import MAX_NAME
from kerma_auth.domain.user import By
from kerma_common.errors import NotFound
from kerma_common.http.answers import answer
from kerma_common.http.edge import request_id
from kerma_common.http.policy import CurrentPrincipal, Principal, authenticated, role
from kerma_common.http.route import KermaRoute
from kerma_common.http.statuses import answers
from kerma_common.security.roles import ADMIN, OPERATOR

PRIVATE = {"Cache-Control": "no-store"}
PAGE = 100

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


@dataclass(frozen=True, slots=True)
class UserRoutes:
    """Dependencies of the routes."""

    accounts: Accounts
    administration: Administration
    users: Users
    auth: AuthRoutes

    async def shown(self, accounts: list[Account]) -> list[dict[str, Any]]:
        """Return accounts as JSON, with the users' names."""
        names = await self.accounts.vault.usernames([account.user_id for account in accounts])
        return [
            {
                "user_id": account.user_id,
                "username": names.get(account.user_id),
                "source": account.source,
                "roles": list(account.roles),
                "disabled": account.disabled,
                "registered_at": account.registered_at.isoformat(),
            }
            for account in accounts
        ]

    async def one(self, user_id: str) -> dict[str, Any]:
        """Return one account as JSON. Raises NotFound."""
        found = await self.users.accounts_of([user_id])
        if user_id not in found:
            raise NotFound("User does not exist")
        return (await self.shown([found[user_id]]))[0]

    async def changed(
        self, change: Change, user_id: str, principal: Principal, message: str
    ) -> Response:
        """Carry out a change of an account and return the account."""
        await self.auth.settled(await change(user_id, by=_by(principal), request_id=request_id()))
        return answer(message, user=await self.one(user_id))


def router(routes: UserRoutes) -> APIRouter:
    """Return all routes below ``/v1/users``."""
    api = APIRouter(route_class=KermaRoute, prefix="/v1/users")
    _add_own(api, routes)
    _add_reads(api, routes)
    _add_creation(api, routes)
    _add_switches(api, routes)
    _add_roles(api, routes)
    return api


def _add_own(api: APIRouter, routes: UserRoutes) -> None:
    @api.get("/me")
    @authenticated()
    @answers(200, 404)
    async def me(principal: CurrentPrincipal) -> Response:
        return answer("Your account", user=await routes.one(principal.user_id))

    @api.put("/me/password")
    @authenticated()
    @answers(200, 404, 409, 429)
    async def change(
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
        response = answer("The password is changed; your other sessions have ended")
        routes.auth.set_access_cookie(request, response, token, expires)
        return response


def _add_reads(api: APIRouter, routes: UserRoutes) -> None:
    @api.get("")
    @role(OPERATOR, ADMIN)
    @answers(200)
    async def page(
        after: Annotated[str, Query(pattern="^([0-9a-f]{32})?$")] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = PAGE,
    ) -> Response:
        found = list(await routes.users.page(after, limit))
        last = found[-1].user_id if len(found) == limit else None
        return answer("Users", users=await routes.shown(found), next=last)

    @api.get("/{user_id}")
    @role(OPERATOR, ADMIN)
    @answers(200, 404)
    async def one(user_id: UserId) -> Response:
        return answer("User", user=await routes.one(user_id))


def _add_creation(api: APIRouter, routes: UserRoutes) -> None:
    @api.post("")
    @role(OPERATOR, ADMIN)
    @answers(201)
    async def create(body: NewUser, request: Request, principal: CurrentPrincipal) -> Response:
        password = body.password or routes.administration.random_password()
        user_id, seq = await routes.accounts.create(
            body.username, password, address_of(request), f"user:{principal.user_id}"
        )
        await routes.auth.settled(seq)
        made: dict[str, Any] = {} if body.password else {"password": password}
        return answer("User created", 201, headers=PRIVATE, user_id=user_id, **made)

    @api.post("/{user_id}/password-reset")
    @role(OPERATOR, ADMIN)
    @answers(200, 404, 409)
    async def reset(
        user_id: UserId, body: NewPassword, request: Request, principal: CurrentPrincipal
    ) -> Response:
        password, seq = await routes.administration.reset_password(
            user_id, body.password, _by(principal), address_of(request), request_id()
        )
        await routes.auth.settled(seq)
        made: dict[str, Any] = {} if body.password else {"password": password}
        text = "The password is reset; all sessions have ended"
        return answer(text, headers=PRIVATE, **made)


def _add_switches(api: APIRouter, routes: UserRoutes) -> None:
    @api.post("/{user_id}/disable")
    @role(OPERATOR, ADMIN)
    @answers(200, 404, 409)
    async def disable(user_id: UserId, principal: CurrentPrincipal) -> Response:
        change = routes.administration.disable
        return await routes.changed(change, user_id, principal, "The account is disabled")

    @api.post("/{user_id}/enable")
    @role(OPERATOR, ADMIN)
    @answers(200, 404, 409)
    async def enable(user_id: UserId, principal: CurrentPrincipal) -> Response:
        change = routes.administration.enable
        return await routes.changed(change, user_id, principal, "The account is enabled")


def _add_roles(api: APIRouter, routes: UserRoutes) -> None:
    @api.put("/{user_id}/roles/{name}")
    @role(ADMIN)
    @answers(200, 404, 409)
    async def grant(user_id: UserId, name: Role, principal: CurrentPrincipal) -> Response:
        change = partial(routes.administration.grant, role=name)
        return await routes.changed(change, user_id, principal, "The role is granted")

    @api.delete("/{user_id}/roles/{name}")
    @role(ADMIN)
    @answers(200, 404, 409)
    async def revoke(user_id: UserId, name: Role, principal: CurrentPrincipal) -> Response:
        change = partial(routes.administration.revoke, role=name)
        return await routes.changed(change, user_id, principal, "The role is revoked")


def _by(principal: Principal) -> By:
    return By(principal.user_id, principal.roles)
