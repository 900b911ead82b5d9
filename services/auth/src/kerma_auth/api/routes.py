"""Routes for accounts and sessions, with the paths and cookies that clients expect."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from kerma_auth.app.accounts import Accounts, NameTaken
from kerma_auth.app.sessions import LoggedIn, SessionHandlers
from kerma_common.commands.consistency import Positions
from kerma_common.errors import (
    WRONG_DATA,
    Forbidden,
    InvalidRequest,
    KermaError,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from kerma_common.http.answers import answer
from kerma_common.http.edge import request_id
from kerma_common.http.origin import came_over_https
from kerma_common.http.policy import (
    COOKIE,
    NO_TOKEN,
    CurrentPrincipal,
    Principal,
    Verifier,
    authenticated,
    bearer,
    public,
)
from kerma_common.http.refusals.handlers import problem
from kerma_common.http.refusals.statuses import Body as JsonObject
from kerma_common.http.refusals.statuses import answers, envelope
from kerma_common.http.route import KermaRoute
from kerma_common.security.identity import Identity

REFRESH_COOKIE = "refresh_token"
LOGIN_AGAIN = "Please log in again: "

JsonBody = Annotated[dict[str, Any], Body()]


class Credentials(TypedDict):
    """A name and its password."""

    username: str
    password: str


CREDENTIALS = JsonObject(Credentials, {"username": "ada", "password": "correct horse battery"})
SETTINGS = JsonObject(dict[str, Any], {"theme": "dark"})
LOGGED_IN = envelope("Successfully logged in", access_exp=1795311286826, refresh_exp=1795317886826)
REFRESHED = envelope("Session refreshed", access_exp=1795311286826)


@dataclass(frozen=True, slots=True)
class AuthRoutes:
    """Dependencies of the routes.

    ``secure``: browsers send cookies over HTTPS only; None: where the request came over HTTPS.
    """

    accounts: Accounts
    sessions: SessionHandlers
    positions: Positions
    identity: Identity
    verifier: Verifier
    secure: bool | None = None

    async def settled(self, seq: int) -> None:
        """Wait until reads and tokens of this process show a change."""
        await self.positions.wait("users", "AUTH", seq)
        await self.identity.wait(seq)

    async def logged_out(self, request: Request) -> None:
        """End every session that a cookie or a bearer token names."""
        for session_id, user_id in await self._sessions(request):
            seq = await self.sessions.end(session_id, user_id, request_id())
            await self.identity.wait(seq)

    async def _sessions(self, request: Request) -> set[tuple[str, str]]:
        found: set[tuple[str, str]] = set()
        unknown: Unavailable | None = None
        for token in filter(None, (request.cookies.get(COOKIE), bearer(request))):
            try:
                principal: Principal = await self.verifier(token)
            except Unavailable as error:
                unknown = error
            except KermaError:
                pass  # the access token has expired; the refresh token may still name the session
            else:
                if principal.token_id is None:
                    found.add((principal.session_id, principal.user_id))
        refresh = request.cookies.get(REFRESH_COOKIE)
        named = await self.sessions.session_of(refresh) if refresh else None
        found |= {named} if named else set()
        if unknown is not None and not found:
            raise unknown  # "logged out" would be wrong: the token may live
        return found

    async def principal_of(self, request: Request) -> Principal | None:
        """Return the caller of a public route, if there is a valid token."""
        token = request.cookies.get(COOKIE) or bearer(request)
        try:
            return await self.verifier(token) if token else None
        except KermaError:
            return None

    def set_cookies(self, request: Request, response: Response, tokens: LoggedIn) -> None:
        """Make the browser keep both tokens, across the ports of one host."""
        self.set_access_cookie(request, response, tokens.access_token, tokens.access_expires)
        refresh, expires = tokens.refresh_token, tokens.refresh_expires
        self._set_cookie(request, response, REFRESH_COOKIE, refresh, expires)

    def set_access_cookie(
        self, request: Request, response: Response, token: str, expires: datetime
    ) -> None:
        """Make the browser replace the access token."""
        self._set_cookie(request, response, COOKIE, token, expires)

    def _set_cookie(
        self, request: Request, response: Response, name: str, value: str, expires: datetime
    ) -> None:
        response.set_cookie(
            name,
            value,
            expires=expires,
            path="/",
            httponly=True,
            samesite="lax",
            secure=self._is_secure(request),
        )

    def drop_cookies(self, request: Request, response: Response) -> None:
        """Make the browser delete both tokens."""
        secure = self._is_secure(request)
        for name in (COOKIE, REFRESH_COOKIE):
            response.delete_cookie(name, path="/", httponly=True, samesite="lax", secure=secure)

    def _is_secure(self, request: Request) -> bool:
        if self.secure is not None:
            return self.secure
        return came_over_https(request.url.scheme, request.headers)


def router(routes: AuthRoutes) -> APIRouter:
    """Return all routes of the service."""
    api = APIRouter(route_class=KermaRoute)
    _add_hello(api)
    _add_register_and_login(api, routes)
    _add_session(api, routes)
    return api


def require_session(principal: Principal) -> None:
    """Raise Forbidden for an API token: who finds one may not make it last."""
    if principal.token_id is not None:
        raise Forbidden("An API token may not do this; log in")


def _add_hello(api: APIRouter) -> None:
    @api.get("/")
    @public()
    @answers(200, shows=envelope("Hello World!"))
    async def hello() -> Response:
        return answer("Hello World!")

    @api.post("/user/update")
    @authenticated()
    @answers(202, takes=SETTINGS, shows=envelope("User updated"))
    async def update(body: JsonBody, principal: CurrentPrincipal) -> Response:  # noqa: ARG001 - ends requests without a token
        if not body:
            raise InvalidRequest(WRONG_DATA)
        return answer("User updated", 202)


def _add_register_and_login(api: APIRouter, routes: AuthRoutes) -> None:
    @api.put("/auth/register")
    @public()
    @answers(201, 403, 409, 429, takes=CREDENTIALS, shows=envelope("User created"))
    async def register(body: JsonBody, request: Request) -> Response:
        username, password = _credentials(body, strict=True)
        try:
            seq = await routes.accounts.register(username, password, address_of(request))
        except NameTaken as taken:  # clients expect this status
            raise Forbidden(taken.message) from taken
        await routes.positions.wait("users", "AUTH", seq)
        return answer("User created", 201)

    @api.post("/auth/login")
    @public()
    @answers(202, 401, 429, takes=CREDENTIALS, shows=LOGGED_IN)
    async def login(body: JsonBody, request: Request) -> Response:
        username, password = _credentials(body, strict=False)
        tokens = await routes.sessions.open(username, password, address_of(request))
        response = answer(
            "Successfully logged in",
            202,
            access_exp=milliseconds(tokens.access_expires),
            refresh_exp=milliseconds(tokens.refresh_expires),
        )
        routes.set_cookies(request, response, tokens)
        return response


def _add_session(api: APIRouter, routes: AuthRoutes) -> None:
    @api.get("/auth/refresh")
    @public()
    @answers(200, 401, 403, 409, shows=REFRESHED)
    async def refresh(request: Request) -> Response:
        token = request.cookies.get(REFRESH_COOKIE)
        if not token:
            raise Unauthenticated(NO_TOKEN)
        try:
            tokens = await routes.sessions.refresh(token)
        except Unauthenticated:
            # A page that logs out and refreshes at once shows any other text to the user.
            response = problem(Unauthenticated(NO_TOKEN))
            routes.drop_cookies(request, response)
            return response
        except Forbidden as over:
            raise Forbidden(LOGIN_AGAIN + over.message) from over
        response = answer("Session refreshed", access_exp=milliseconds(tokens.access_expires))
        routes.set_cookies(request, response, tokens)
        return response

    @api.get("/auth/status")
    @authenticated()
    @answers(200, 404, shows=envelope("User is logged in", username="ada"))
    async def status(principal: CurrentPrincipal) -> Response:
        username = await routes.accounts.username(principal.user_id)
        if username is None:
            raise NotFound("User does not exist")
        return answer("User is logged in", username=username, source=principal.provider)

    @api.delete("/auth/logout")
    @public()
    @answers(200, 409, shows=envelope("User logged out"))
    async def logout(request: Request) -> Response:
        await routes.logged_out(request)
        response = answer("User logged out")
        routes.drop_cookies(request, response)
        return response


def _credentials(body: dict[str, Any], *, strict: bool) -> tuple[Any, Any]:
    """Return the name and password in a body. Raises InvalidRequest naming missing keys."""
    require_keys(body, "username", "password")
    unknown = body.keys() - {"username", "password"}
    if strict and unknown:
        raise InvalidRequest(WRONG_DATA, {key: ["Unknown field."] for key in unknown})
    return body["username"], body["password"]


def require_keys(body: dict[str, Any], *keys: str) -> None:
    """Raise InvalidRequest naming the keys that a body lacks."""
    if not body:
        raise InvalidRequest("No JSON in body")
    missing = {key for key in keys if key not in body}
    if missing:
        raise InvalidRequest(
            f"Missing keys in JSON payload: {', '.join(sorted(missing))}",
            {key: ["Missing data for required field."] for key in missing},
        )


def address_of(request: Request) -> str:
    """Return the client's address, "" if it is unknown."""
    return request.client.host if request.client else ""


def milliseconds(moment: datetime) -> int:
    """Return a time as clients expect it, since the epoch."""
    return int(moment.timestamp() * 1000)
