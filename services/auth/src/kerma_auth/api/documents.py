"""``/v1/openapi.json``, pages that show it, and the page that types of problems point to.

Nothing comes from other hosts. Swagger UI is taken from the files of ``fastapi-offline``. All links
are relative, so that a proxy may put the interface below a path of its own.
"""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.resources import files
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from kerma_common.http.native import entity_tag, names
from kerma_common.http.policy import public
from kerma_common.http.refusals.forms import NATIVE, TITLES
from kerma_common.http.refusals.handlers import statuses_by_kind
from kerma_common.http.refusals.statuses import Body, answers
from kerma_common.http.route import KermaRoute

HTML = "text/html; charset=utf-8"
SCRIPT = "text/javascript; charset=utf-8"
CSS = "text/css; charset=utf-8"
JSON = "application/json"
STYLES = "style-src 'self' 'unsafe-inline'"
"""Swagger UI sets styles of single elements."""
CONTENT_POLICY = (
    f"default-src 'none'; script-src 'self'; {STYLES}; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Kerma: REST interface</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
START = """"use strict";
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "none",
  validatorUrl: null,
});
"""
"""``validatorUrl``: by default the page asks another host whether the document is valid."""
PROBLEMS = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Kerma: kinds of problems</title>
<link rel="icon" href="data:,">
</head>
<body>
<h1>Kinds of problems</h1>
<p>The last part of a problem's type names its kind.</p>
<dl>
{rows}
</dl>
</body>
</html>
"""


@dataclass(frozen=True)
class _Document:
    """Something that stays the same while the process runs."""

    content: bytes
    media: str
    headers: dict[str, str] = field(default_factory=dict)

    @cached_property
    def tag(self) -> str:
        return entity_tag(self.content)

    def answer(self, request: Request) -> Response:
        """Return the document, or 304 when the client has it."""
        headers = {**self.headers, "Cache-Control": "no-cache", "ETag": self.tag}
        if names(request.headers.get("if-none-match", ""), self.tag):
            return Response(status_code=304, headers=headers)
        return Response(self.content, 200, {**headers, "Content-Type": self.media})


@lru_cache
def _file(package: str, path: str, media: str) -> _Document:
    return _Document(files(package).joinpath(path).read_bytes(), media)


def _page(text: str) -> _Document:
    return _Document(text.encode(), HTML, {"Content-Security-Policy": CONTENT_POLICY})


def problems_page() -> str:
    """Return the page that lists the kinds of problems; each has its own anchor."""
    statuses = statuses_by_kind()
    rows = [
        f'<dt id="{html.escape(kind)}"><code>{html.escape(kind)}</code></dt>'
        f"<dd>{html.escape(title)} ({' or '.join(map(str, statuses[kind]))})</dd>"
        for kind, title in TITLES.items()
    ]
    return PROBLEMS.format(rows="\n".join(rows))


def router() -> APIRouter:
    """Return the routes."""
    api = APIRouter(route_class=KermaRoute, prefix=NATIVE)
    _add_document(api)
    _add_pages(api)
    _add_assets(api)
    return api


def _add_document(api: APIRouter) -> None:
    shows = Body(dict[str, Any], {"openapi": "3.1.0"})

    @api.get("/openapi.json")
    @public()
    @answers(200, 304, shows=shows)
    async def openapi_document(request: Request) -> Response:
        return _file("kerma_auth.api", "openapi.json", JSON).answer(request)


def _add_pages(api: APIRouter) -> None:
    shows = Body(str, "<!doctype html>", "text/html")
    docs, problems = _page(PAGE), _page(problems_page())

    @api.get("/docs")
    @public()
    @answers(200, 304, shows=shows)
    async def interactive_documents(request: Request) -> Response:
        return docs.answer(request)

    @api.get("/problems")
    @public()
    @answers(200, 304, shows=shows)
    async def kinds_of_problems(request: Request) -> Response:
        return problems.answer(request)


def _add_assets(api: APIRouter) -> None:
    start = _Document(START.encode(), SCRIPT)

    @api.get("/docs/swagger-ui.js")
    @public()
    @answers(200, 304, shows=Body(str, "/* Swagger UI */", "text/javascript"))
    async def swagger_ui_script(request: Request) -> Response:
        return _file("fastapi_offline", "static/swagger-ui-bundle.js", SCRIPT).answer(request)

    @api.get("/docs/swagger-ui.css")
    @public()
    @answers(200, 304, shows=Body(str, ".swagger-ui {}", "text/css"))
    async def swagger_ui_styles(request: Request) -> Response:
        return _file("fastapi_offline", "static/swagger-ui.css", CSS).answer(request)

    @api.get("/docs/start.js")
    @public()
    @answers(200, 304, shows=Body(str, "SwaggerUIBundle({});", "text/javascript"))
    async def swagger_ui_start(request: Request) -> Response:
        return start.answer(request)
