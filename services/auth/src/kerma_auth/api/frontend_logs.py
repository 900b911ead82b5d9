"""``POST /logs``: errors that a frontend wants operators to see."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response

from kerma_auth.api.routes import AuthRoutes, address_of
from kerma_auth.app.frontend_logs import FrontendLogs
from kerma_auth.domain.frontend_logs import LEVELS, MOST_ENTRIES, MOST_TEXT, Entry
from kerma_common.errors import WRONG_DATA, InvalidRequest
from kerma_common.http.answers import answer
from kerma_common.http.policy import public
from kerma_common.http.refusals.statuses import Body as Described
from kerma_common.http.refusals.statuses import answers, envelope
from kerma_common.http.route import KermaRoute

Text = Annotated[str, StringConstraints(max_length=MOST_TEXT)]


class PostedEntry(BaseModel):
    """One entry; ``source`` is a page or a module, ``detail`` a stack or other context."""

    model_config = ConfigDict(extra="forbid", strict=True)

    message: Annotated[str, StringConstraints(min_length=1, max_length=MOST_TEXT)]
    level: Text = "error"
    source: Text = ""
    detail: Text = ""

    def entry(self, place: str) -> Entry:
        """Return the entry. Raises InvalidRequest for an unknown level."""
        level = LEVELS.get(self.level.lower())
        if level is None:
            reason = f"Not one of {', '.join(LEVELS)}."
            raise InvalidRequest(WRONG_DATA, {f"{place}.level": [reason]})
        return Entry(level, self.message, self.source, self.detail)


class PostedEntries(BaseModel):
    """The body."""

    model_config = ConfigDict(extra="forbid")

    logs: Annotated[list[PostedEntry], Field(min_length=1, max_length=MOST_ENTRIES)]


_ENTRY = {"level": "error", "message": "it broke", "source": "Simulations", "detail": "at x"}
_BODY = Described(PostedEntries, {"logs": [_ENTRY]})


def router(logs: FrontendLogs, routes: AuthRoutes) -> APIRouter:
    """Return the route. It needs no session: what fails may be the login."""
    api = APIRouter(route_class=KermaRoute)

    @api.post("/logs")
    @public()
    @answers(202, 429, takes=_BODY, shows=envelope("Logs saved"))
    async def post_logs(body: PostedEntries, request: Request) -> Response:
        entries = [posted.entry(f"logs.{n}") for n, posted in enumerate(body.logs)]
        principal = await routes.principal_of(request)
        user_id = principal.user_id if principal is not None else None
        await logs.take(entries, address_of(request), user_id)
        return answer("Logs saved", 202)

    return api
