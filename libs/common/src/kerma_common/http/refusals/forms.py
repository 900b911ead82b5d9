"""Refusals in the form that a path's clients expect.

Below ``/v1`` a refusal is a problem (RFC 9457); everywhere else it is the envelope of YAPTIDE, with
its text in ``message`` and the refused fields beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NotRequired

import orjson
from starlette.responses import Response
from typing_extensions import TypedDict

from kerma_common.http.answers import answer

NATIVE = "/v1"
PROBLEM_MEDIA = "application/problem+json"
TYPES = "/v1/problems#"
"""What the types of problems begin with; the page there and docs/api.md list them."""

TITLES: Mapping[str, str] = {
    "invalid-request": "The request is malformed",
    "unauthenticated": "No token, or no session",
    "forbidden": "Not allowed",
    "void-token": "The token has expired, or is void",
    "not-found": "There is no such thing",
    "method-not-allowed": "The method is not allowed at this path",
    "not-acceptable": "There is no such form of it",
    "rejected": "Against the rules",
    "conflict": "Overtaken by another request",
    "changed": "It has changed since it was read",
    "too-large": "The body is too large",
    "unsupported-media-type": "The body is not declared as JSON",
    "key-reused": "The Idempotency-Key belongs to another request",
    "quota-exceeded": "A quota is used up",
    "too-many-requests": "Too many for now",
    "outcome-unknown": "It may or may not be done; the same request again is safe",
    "unavailable": "Something it needs does not answer",
    "unreadable-history": "Its history cannot be read",
    "internal": "An internal fault",
}
"""The kinds of problems; part of the interface."""

_native: ContextVar[bool] = ContextVar("kerma_native", default=False)
_RESERVED = frozenset({"message", "status", "headers"})


class FieldFault(TypedDict):
    """A refused field of the body, or a refused parameter, and the reason."""

    field: str
    detail: str


class Problem(TypedDict):
    """A refusal (RFC 9457). ``detail`` is for people; ``type`` and ``code`` never change."""

    type: str
    title: str
    status: int
    detail: str
    errors: NotRequired[list[FieldFault]]
    code: NotRequired[str]
    quota: NotRequired[str]
    used: NotRequired[int]
    limit: NotRequired[int]


PROBLEM_EXAMPLE: Problem = {
    "type": TYPES + "invalid-request",
    "title": TITLES["invalid-request"],
    "status": 400,
    "detail": "Wrong data provided: tasks: Must be between 1 and 10000.",
    "errors": [{"field": "tasks", "detail": "Must be between 1 and 10000."}],
}


def is_native(path: str) -> bool:
    """Return whether a path belongs to the native interface."""
    return path == NATIVE or path.startswith(f"{NATIVE}/")


@contextmanager
def refused_as(path: str) -> Iterator[None]:
    """Choose the form of refusals by the path of a request, for the duration of the block."""
    token = _native.set(is_native(path))
    try:
        yield
    finally:
        _native.reset(token)


def refusal(
    kind: str,
    status: int,
    message: str,
    *,
    headers: Mapping[str, str] | None = None,
    fields: Mapping[str, Sequence[str]] | None = None,
    **more: Any,
) -> Response:
    """Return the response to a request that is refused.

    ``kind`` is one of ``TITLES``, ``fields`` maps what is wrong to the reasons.
    """
    fields = fields or {}
    if not _native.get():
        # Names of fields come from clients, so they must not clash with our parameter names.
        given = {**{name: list(why) for name, why in fields.items()}, **more}
        given.pop("message", None)
        shown = {f"{name}_" if name in _RESERVED else name: v for name, v in given.items()}
        return answer(message, status, headers=headers, **shown)
    problem: dict[str, Any] = {
        **more,
        "type": TYPES + kind,
        "title": TITLES[kind],
        "status": status,
        "detail": message,
    }
    if fields:
        problem["errors"] = [
            {"field": name, "detail": reason} for name, why in fields.items() for reason in why
        ]
    content = orjson.dumps(problem, option=orjson.OPT_SORT_KEYS)
    return Response(content, status, headers, PROBLEM_MEDIA)
