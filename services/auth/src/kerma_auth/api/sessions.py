"""Routes for the caller's own sessions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from kerma_auth.api import views
from kerma_auth.api.routes import AuthRoutes, require_session
from kerma_auth.app.sessions import SessionHandlers
from kerma_common.http.answers import iso_time
from kerma_common.http.edge import request_id
from kerma_common.http.native import done, page, resource
from kerma_common.http.policy import CurrentPrincipal, authenticated
from kerma_common.http.refusals.statuses import answers
from kerma_common.http.route import KermaRoute

SessionId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]


@dataclass(frozen=True, slots=True)
class SessionRoutes:
    """Dependencies of the routes."""

    sessions: SessionHandlers
    auth: AuthRoutes


def router(routes: SessionRoutes) -> APIRouter:
    """Return all routes below ``/v1/sessions``."""
    api = APIRouter(route_class=KermaRoute, prefix="/v1/sessions")

    @api.get("")
    @authenticated()
    @answers(200, 304, shows=views.SESSIONS)
    async def list_sessions(request: Request, principal: CurrentPrincipal) -> Response:
        found = [
            {
                "id": one.session_id,
                "current": one.session_id == principal.session_id,
                "last_used_at": iso_time(one.used),
                "expires_at": iso_time(one.expires),
            }
            for one in await routes.sessions.listed(principal.user_id)
        ]
        return resource(request, page(found, None))

    @api.delete("")
    @authenticated()
    @answers(204, 409)
    async def end_other_sessions(principal: CurrentPrincipal) -> Response:
        require_session(principal)
        seq = await routes.sessions.end_others(
            principal.user_id, principal.session_id, request_id()
        )
        await routes.auth.identity.wait(seq)
        return done()

    @api.delete("/{session_id}")
    @authenticated()
    @answers(204, 404, 409)
    async def end_session(
        session_id: SessionId, request: Request, principal: CurrentPrincipal
    ) -> Response:
        require_session(principal)
        seq = await routes.sessions.end_own(principal.user_id, session_id, request_id())
        await routes.auth.identity.wait(seq)
        response = done()
        if session_id == principal.session_id:
            routes.auth.drop_cookies(request, response)
        return response

    return api
