"""What resources below ``/v1`` have in common: bare JSON, entity tags, pages by cursors."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import orjson
from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from kerma_common.errors import WRONG_PARAMETERS, InvalidRequest, NotAcceptable, PreconditionFailed

MOST_CURSOR = 300
MOST_ITEMS = 1000
ITEMS = 50
PRIVATE = {"Cache-Control": "private, no-cache"}
"""Browsers may keep an answer, but ask each time whether it is still valid."""

Cursor = Annotated[
    str | None,
    Query(
        max_length=MOST_CURSOR,
        description="`next` of the page before. Everything else stays the same.",
    ),
]
Limit = Annotated[int, Query(ge=1, le=MOST_ITEMS, description="Most entries of a page.")]
T = TypeVar("T")


def resource(
    request: Request, body: Mapping[str, Any], *, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a JSON object with its entity tag, or 304 when the client has it."""
    content = _dumped(body)
    tag = entity_tag(content)
    all_headers = {**PRIVATE, **(headers or {}), "ETag": tag}
    if names(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=all_headers)
    return Response(content, 200, all_headers, "application/json")


def made(body: Mapping[str, Any], location: str, **headers: str) -> Response:
    """Return the answer to a request that made something, which is at ``location``."""
    return Response(_dumped(body), 201, {"Location": location, **headers}, "application/json")


def done(headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer to a request after which there is nothing to say."""
    return Response(status_code=204, headers=headers)


def _dumped(body: Mapping[str, Any]) -> bytes:
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


def entity_tag(content: bytes) -> str:
    """Return the entity tag of an answer."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def names(header: str, tag: str) -> bool:
    """Return whether an If-Match or If-None-Match header names the tag (weak comparison)."""
    tags = {entry.strip().removeprefix("W/") for entry in header.split(",")}
    return tag in tags or "*" in tags


def require_unchanged(request: Request, body: Mapping[str, Any]) -> None:
    """Raise PreconditionFailed if the client names another state of the thing in If-Match."""
    header = request.headers.get("if-match")
    if header is not None and not names(header, entity_tag(_dumped(body))):
        raise PreconditionFailed("It has changed since it was read; read it again")


def require_json(request: Request) -> None:
    """Raise NotAcceptable unless the client accepts JSON.

    Other forms may come, so a client that asks for one must not get JSON in its place.
    """
    ranges = request.headers.get("accept", "*/*").lower().split(",")
    accepted = {entry.partition(";")[0].strip() for entry in ranges}
    if not accepted & {"*/*", "application/*", "application/json", ""}:
        raise NotAcceptable("Only application/json is available")


def cursor(*parts: str | int) -> str:
    """Return an opaque text that tells the following page where to go on."""
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")


def read_cursor(text: str | None, check: Callable[[list[Any]], T]) -> T | None:
    """Return what ``check`` makes of the parts of a cursor, None without one.

    ``check`` raises ValueError or TypeError for parts that ``cursor`` never got. Raises
    InvalidRequest.
    """
    if text is None:
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        parts = orjson.loads(raw)
        if isinstance(parts, list):
            return check(parts)
    except (binascii.Error, ValueError, TypeError):
        pass
    raise InvalidRequest(WRONG_PARAMETERS, {"cursor": ["Is not the `next` of a page."]})


def page(items: Sequence[Any], following: str | None) -> dict[str, Any]:
    """Return one page of a list; ``next`` is null on the last one."""
    return {"items": items, "next": following}
