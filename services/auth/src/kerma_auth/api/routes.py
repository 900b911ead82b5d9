"""Routes for accounts and sessions, with the paths and cookies that clients expect."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body
from starlette.requests import Request
from starlette.responses import Response

from kerma_auth.app.accounts import Accounts
from kerma_auth.app.sessions import Sessions
from kerma_common.commands.consistency import Positions
from kerma_common.errors import Forbidden, InvalidRequest, KermaError, NotFound, Unauthenticated
from kerma_common.http.answers import answer
from kerma_common.http.edge import request_id
from kerma_common.http.policy import (
    COOKIE,
    NO_TOKEN,
    CurrentPrincipal,
    Principal,
    Verifier,
    authenticated,
    public,
)
from kerma_common.http.route import KermaRoute
from kerma_common.http.statuses import answers
from kerma_common.security.identity import Identity

REFRESH_COOKIE = "refresh_token"
LOGIN_AGAIN = "Please log in again: "

JsonBody = Annotated[dict[str, Any], Body()]


@dataclass(frozen=True, slots=True)
class AuthRoutes:
    """Dependencies of the routes. ``secure``: send cookies over HTTPS only."""

    accounts: Accounts
    sessions: Sessions
    positions: Positions
    identity: Identity
    verifier: Verifier
    secure: bool = False

    async def logged_out(self, request: Request) -> None:
        """End the session that either cookie names, if any."""
        session = await self._session(request)
        if session is not None:
            seq = await self.sessions.logout(*session, request_id())
            await self.identity.wait(seq)

    async def _session(self, request: Request) -> tuple[str, str] | None:
        if token := request.cookies.get(COOKIE):
            try:
                principal: Principal = await self.verifier(token)
            except KermaError:
                pass  # the access token has expired; the refresh token may still name the session
            else:
                return principal.session_id, principal.user_id
        if token := request.cookies.get(REFRESH_COOKIE):
            return await self.sessions.session_of_refresh(token)
        return None

    def set_cookie(self, response: Response, name: str, value: str, expires: datetime) -> None:
        """Set a cookie that browsers keep across the ports of one host."""
        response.set_cookie(
            name,
            value,
            expires=expires,
            path="/",
            httponly=True,
            samesite="lax",
            secure=self.secure,
        )

    def drop_cookies(self, response: Response) -> None:
        """Make the browser delete both tokens."""
        for name in (COOKIE, REFRESH_COOKIE):
            response.delete_cookie(
                name, path="/", httponly=True, samesite="lax", secure=self.secure
            )


def router(routes: AuthRoutes) -> APIRouter:
    """Return all routes of the service."""
    api = APIRouter(route_class=KermaRoute)
    _add_hello(api)
    _add_register_and_login(api, routes)
    _add_session(api, routes)
    return api


def _add_hello(api: APIRouter) -> None:
    @api.get("/")
    @public()
    @answers(200)
    async def hello() -> Response:
        return answer("Hello World!")

    @api.post("/user/update")
    @authenticated()
    @answers(202)
    async def update(body: JsonBody, principal: CurrentPrincipal) -> Response:  # noqa: ARG001 - ends requests without a token
        if not body:
            raise InvalidRequest("Wrong data provided")
        return answer("User updated", 202)


def _add_register_and_login(api: APIRouter, routes: AuthRoutes) -> None:
    @api.put("/auth/register")
    @public()
    @answers(201, 403, 409)
    async def register(body: JsonBody, request: Request) -> Response:
        username, password = _credentials(body, strict=True)
        seq = await routes.accounts.register(username, password, _address(request))
        await routes.positions.wait("users", "AUTH", seq)
        return answer("User created", 201)

    @api.post("/auth/login")
    @public()
    @answers(202, 401)
    async def login(body: JsonBody, request: Request) -> Response:
        username, password = _credentials(body, strict=False)
        tokens = await routes.sessions.login(username, password, _address(request))
        response = answer(
            "Successfully logged in",
            202,
            access_exp=_milliseconds(tokens.access_expires),
            refresh_exp=_milliseconds(tokens.refresh_expires),
        )
        routes.set_cookie(response, COOKIE, tokens.access_token, tokens.access_expires)
        routes.set_cookie(response, REFRESH_COOKIE, tokens.refresh_token, tokens.refresh_expires)
        return response


def _add_session(api: APIRouter, routes: AuthRoutes) -> None:
    @api.get("/auth/refresh")
    @public()
    @answers(200, 401, 403)
    async def refresh(request: Request) -> Response:
        token = request.cookies.get(REFRESH_COOKIE)
        if not token:
            raise Unauthenticated(NO_TOKEN)
        try:
            access, expires = await routes.sessions.refresh(token)
        except Forbidden as ended:
            raise Forbidden(LOGIN_AGAIN + ended.message) from ended
        response = answer("Session refreshed", access_exp=_milliseconds(expires))
        routes.set_cookie(response, COOKIE, access, expires)
        return response

    @api.get("/auth/status")
    @authenticated()
    @answers(200, 404)
    async def status(principal: CurrentPrincipal) -> Response:
        username = await routes.sessions.username(principal.session_id)
        if username is None:
            raise NotFound("The session has ended")
        return answer("User is logged in", username=username)

    @api.delete("/auth/logout")
    @public()
    @answers(200, 409)
    async def logout(request: Request) -> Response:
        await routes.logged_out(request)
        response = answer("User logged out")
        routes.drop_cookies(response)
        return response


def _credentials(body: dict[str, Any], *, strict: bool) -> tuple[Any, Any]:
    """Return the name and password in a body. Raises InvalidRequest naming missing keys."""
    if not body:
        raise InvalidRequest("No JSON in body")
    missing = {key for key in ("username", "password") if key not in body}
    if missing:
        raise InvalidRequest(
            f"Missing keys in JSON payload: {', '.join(sorted(missing))}",
            {key: ["Missing data for required field."] for key in missing},
        )
    unknown = body.keys() - {"username", "password"}
    if strict and unknown:
        raise InvalidRequest("Wrong data provided", {key: ["Unknown field."] for key in unknown})
    return body["username"], body["password"]


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
