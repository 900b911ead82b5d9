"""Headers of requests and responses in the OpenAPI document, as statuses imply them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

_TAG = '"5d41402abc4b2a76b9719d911017c592"'


def _header(description: str, example: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}, "example": example}


def _always(description: str, example: str, pattern: str) -> dict[str, Any]:
    """Return a header that every such answer has."""
    schema = {"type": "string", "pattern": pattern}
    return {"description": description, "required": True, "schema": schema, "example": example}


_ETAG = _always("Names this state of the answer.", _TAG, '^(W/)?"[!#-~]+"$')
_RETRY = _always("Seconds after which the request may succeed.", "1", "^[0-9]+$")
_VOID = _header("There if the token has expired or is void.", 'Bearer error="invalid_token"')
_LOCATION = _always(
    "Where the thing that was made is.", "/v1/jobs/20261122-012556-35fb9d80", "^/v1/"
)
_RESPONSES: dict[int, dict[str, Any]] = {
    304: {"ETag": _ETAG},
    403: {"WWW-Authenticate": _VOID},
    429: {"Retry-After": _RETRY},
    503: {"Retry-After": _RETRY},
}


def of_response(status: int, statuses: Collection[int], *, located: bool) -> dict[str, Any]:
    """Return the headers of a response of an operation that answers ``statuses``."""
    if status == 200 and 304 in statuses:
        return {"ETag": _ETAG}
    if status == 201 and located:
        return {"Location": _LOCATION}
    return _RESPONSES.get(status, {})


def of_request(statuses: Collection[int]) -> list[dict[str, Any]]:
    """Return the parameters for conditional requests."""
    found = []
    if 304 in statuses:
        text = "`ETag` of an earlier answer; 304 while nothing has changed."
        found.append({"name": "If-None-Match", "in": "header", **_header(text, _TAG)})
    if 412 in statuses:
        text = "`ETag` of the state that was seen; 412 if it is another one."
        found.append({"name": "If-Match", "in": "header", **_header(text, _TAG)})
    return found
