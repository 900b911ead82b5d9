"""``GET /logfiles``: the logs of tasks, which say why they failed.

The UI writes names and texts unescaped into a page of its own origin, and input files may come from
anywhere, so an engine's log may hold a script. Logs are therefore HTML-escaped unless the client
asks for plain text.
"""

from __future__ import annotations

import html
from typing import Annotated

import orjson
from fastapi import APIRouter, Query
from starlette.responses import Response

from kerma_common.errors import NotFound
from kerma_common.http.answers import answer
from kerma_common.http.policy import CurrentPrincipal, authenticated
from kerma_common.http.refusals.statuses import answers, envelope
from kerma_common.http.route import KermaRoute
from kerma_common.precedence import give_way
from kerma_results.api.access import Access
from kerma_results.api.results import Asked
from kerma_results.app.logs import Logs


class AskedLogs(Asked):
    """``plain``: texts as the engines wrote them, for programs that show no HTML."""

    plain: bool = False


def routes(access: Access, logs: Logs) -> APIRouter:
    """Return the route. It tolerates the parameters of ``/results``, which its clients send."""
    router = APIRouter(route_class=KermaRoute)

    @router.get("/logfiles")
    @authenticated()
    @answers(200, 404, shows=envelope("Log files of the job", logfiles={"task-0000": "done"}))
    async def logfiles(
        asked: Annotated[AskedLogs, Query()], principal: CurrentPrincipal
    ) -> Response:
        await access.require_owner(asked.job_id, principal)
        texts = await logs.texts(asked.job_id)
        if not texts:
            raise NotFound("The job has no log files")
        shown = {}
        for name, text in texts.items():
            if asked.plain:
                shown[name] = orjson.Fragment(orjson.dumps(text))
            else:
                shown[_as_html(name)] = orjson.Fragment(orjson.dumps(_as_html(text)))
            await give_way()
        return answer("Log files of the job", logfiles=shown)

    return router


def _as_html(text: str) -> str:
    # quotes are harmless in the content of an element, and stay readable
    return html.escape(text, quote=False)
