"""The only place that checks the text of a request, before anything routes, logs or stores it.

Control characters could forge log lines, change a terminal, or make PostgreSQL, which accepts no
NUL, fail in the middle of a response. Bytes that are not UTF-8 would be replaced by something that
the client never sent. A path with several spellings could mean one thing to a gateway and another
to a service.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Receive, Scope, Send

from kerma_common.errors import WRONG_PARAMETERS, InvalidRequest
from kerma_common.http.body.json_body import MOST_NAME
from kerma_common.http.refusals.handlers import problem

MOST_PATH, MOST_QUERY, MOST_PARAMETERS = 2048, 8192, 64
NOT_UTF8 = "Must be valid UTF-8."
CONTROL = "Must not contain control characters."
NOT_PLAIN = (
    "Must be written plainly: without empty or dot segments, semicolons, backslashes, and encoded"
    " slashes."
)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROL_BYTES = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_OTHER_SPELLINGS = re.compile(rb"//|[;\\]|%(?:2f|5c|3b)", re.IGNORECASE)


class PlainText:
    """Layer that refuses requests whose path, query or headers hold text that no client needs."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http":
            try:
                check_request(scope)
            except InvalidRequest as refused:
                await problem(refused)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def check_request(scope: Scope) -> None:
    """Check path, query and headers of a request. Raises `InvalidRequest` naming the bad one."""
    _check_path(scope.get("raw_path") or scope["path"].encode())
    _check_query(scope["query_string"])
    for name, value in scope["headers"]:
        if _CONTROL_BYTES.search(value):
            raise _refused(name.decode("latin-1"), CONTROL)


def _check_path(raw: bytes) -> None:
    if len(raw) > MOST_PATH:
        raise _refused("path", f"Must not be longer than {MOST_PATH} bytes.")
    path = _decoded(raw, "path")
    if _OTHER_SPELLINGS.search(raw) or {".", ".."} & set(path.split("/")):
        raise _refused("path", NOT_PLAIN)


def _check_query(raw: bytes) -> None:
    if len(raw) > MOST_QUERY:
        raise _refused("query", f"Must not be longer than {MOST_QUERY} bytes.")
    pairs = raw.split(b"&")
    if len(pairs) > MOST_PARAMETERS:
        raise _refused("query", f"Must not have more than {MOST_PARAMETERS} parameters.")
    for pair in pairs:
        name, _, value = pair.partition(b"=")
        _decoded(value, _decoded(name, "query")[:MOST_NAME] or "query")


def _decoded(raw: bytes, field: str) -> str:
    try:
        text = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise _refused(field, NOT_UTF8) from None
    if _CONTROL.search(text):
        raise _refused(field, CONTROL)
    return text


def _refused(field: str, reason: str) -> InvalidRequest:
    return InvalidRequest(WRONG_PARAMETERS, {field: [reason]})
