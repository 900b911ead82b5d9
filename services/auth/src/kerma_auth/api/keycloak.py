"""Routes by which the UI exchanges a token of Keycloak for a session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from kerma_auth.api.routes import (
    REFRESH_COOKIE,
    AuthRoutes,
    JsonBody,
    address_of,
    milliseconds,
    require_keys,
)
from kerma_auth.app.keycloak import KeycloakLogin
from kerma_common.errors import WRONG_DATA, InvalidRequest, Unauthenticated
from kerma_common.http.answers import answer
from kerma_common.http.policy import NO_TOKEN, public
from kerma_common.http.refusals.handlers import problem
from kerma_common.http.refusals.statuses import Body as JsonObject
from kerma_common.http.refusals.statuses import answers
from kerma_common.http.route import KermaRoute


@dataclass(frozen=True, slots=True)
class KeycloakRoutes:
    """Dependencies of the routes."""

    login: KeycloakLogin
    auth: AuthRoutes


KEYCLOAK_USER = JsonObject(dict[str, Any], {"username": "ada"})


def router(routes: KeycloakRoutes) -> APIRouter:
    """Return the routes at ``/auth/keycloak``."""
    api = APIRouter(route_class=KermaRoute, prefix="/auth/keycloak")

    @api.post("")
    @public()
    @answers(202, 401, 403, 409, 429, takes=KEYCLOAK_USER)
    async def exchange(body: JsonBody, request: Request) -> Response:
        username = _username(body)
        token = _token(request)
        refresh = request.cookies.get(REFRESH_COOKIE)
        try:
            tokens = await routes.login.enter(token, username, address_of(request), refresh)
        except Unauthenticated:
            response = problem(Unauthenticated(NO_TOKEN))
            routes.auth.drop_cookies(request, response)
            return response
        response = answer(
            "Successfully logged in",
            202,
            access_exp=milliseconds(tokens.access_expires),
            refresh_exp=milliseconds(tokens.refresh_expires),
        )
        routes.auth.set_cookies(request, response, tokens)
        return response

    @api.delete("")
    @public()
    @answers(200, 409)
    async def leave(request: Request) -> Response:
        await routes.auth.logged_out(request)
        response = answer("User logged out")
        routes.auth.drop_cookies(request, response)
        return response

    return api


def _username(body: dict[str, Any]) -> str:
    require_keys(body, "username")
    username = body["username"]
    if not isinstance(username, str):
        raise InvalidRequest(WRONG_DATA, {"username": ("Must be a string.",)})
    return username


def _token(request: Request) -> str:
    """Return the token in the header, also without the word before it."""
    given = request.headers.get("authorization", "").strip()
    scheme, _, rest = given.partition(" ")
    token = rest.strip() if scheme.lower() == "bearer" else given
    if not token:
        raise Unauthenticated(NO_TOKEN)
    return token
