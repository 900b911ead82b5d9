"""Routes for API tokens: ``/v1/tokens``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response

from kerma_auth.api import views
from kerma_auth.api.routes import AuthRoutes, require_session
from kerma_auth.api.users import PRIVATE
from kerma_auth.app.tokens import ApiTokens
from kerma_common.http.answers import iso_time, iso_time_or_none, json_answer
from kerma_common.http.edge import request_id
from kerma_common.http.idempotency import Repeatable
from kerma_common.http.native import done, page, resource
from kerma_common.http.policy import CurrentPrincipal, authenticated
from kerma_common.http.refusals.statuses import Body, answers
from kerma_common.http.route import KermaRoute

MOST_DAYS = 366
TokenId = Annotated[str, Path(pattern="^[0-9a-f]{16}$")]
Label = Annotated[
    str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")
]


class NewToken(BaseModel):
    """A token to create, called ``label`` by its user, valid for ``days``."""

    model_config = ConfigDict(extra="forbid", strict=True)
    label: Label
    days: Annotated[int, Field(ge=1, le=MOST_DAYS)] = 90


NEW_TOKEN = Body(NewToken, {"label": "nightly runs", "days": 90})


@dataclass(frozen=True, slots=True)
class TokenRoutes:
    """Dependencies of the routes."""

    tokens: ApiTokens
    auth: AuthRoutes


def router(routes: TokenRoutes) -> APIRouter:
    """Return all routes below ``/v1/tokens``."""
    api = APIRouter(route_class=KermaRoute, prefix="/v1/tokens")

    @api.post("")
    @authenticated()
    @answers(201, 409, 422, 429, takes=NEW_TOKEN, shows=views.CREATED_TOKEN)
    async def create_token(
        body: NewToken, principal: CurrentPrincipal, key: Repeatable
    ) -> Response:
        require_session(principal)
        token, token_id, expires, seq = await routes.tokens.create(
            principal.user_id, body.label, timedelta(days=body.days), request_id(), key
        )
        await routes.auth.settled(seq)
        shown = {"id": token_id, "token": token, "expires_at": iso_time(expires)}
        return json_answer(shown, 201, headers=PRIVATE)

    @api.get("")
    @authenticated()
    @answers(200, 304, shows=views.TOKENS)
    async def list_tokens(request: Request, principal: CurrentPrincipal) -> Response:
        found = [
            {
                "id": token.token_id,
                "label": label.label,
                "roles": list(token.roles),
                "created_at": iso_time(token.created),
                "expires_at": iso_time(token.expires),
                "last_used_at": iso_time_or_none(label.last_used),
            }
            for token, label in await routes.tokens.listed(principal.user_id)
        ]
        return resource(request, page(found, None))

    @api.delete("/{token_id}")
    @authenticated()
    @answers(204, 404, 409)
    async def revoke_token(token_id: TokenId, principal: CurrentPrincipal) -> Response:
        require_session(principal)
        seq = await routes.tokens.revoke(principal.user_id, token_id, request_id())
        await routes.auth.settled(seq)
        return done()

    return api
