"""The status codes of a route, declared beside it for the OpenAPI document.

    @router.get("/jobs")
    @authenticated()
    @answers(200, 403, 404)
    async def status(...) -> Response: ...

``shows`` and ``takes`` describe the bodies by a type that pydantic knows and an example; a test
checks examples against types. `statuses_of` adds the statuses that every route, or every route of a
policy, may return. A fuzzer compares the document with the real responses of the services
(`tests/e2e/test_fuzzed_interface.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi.routing import APIRoute

from kerma_common.errors import ContractViolation
from kerma_common.http.origin import SAFE
from kerma_common.http.policy import Access, declared

MEANINGS: Mapping[int, str] = {
    200: "Done.",
    201: "Made.",
    202: "Accepted.",
    204: "Done; there is nothing to say.",
    304: "The client has it already.",
    400: "Malformed; the offending fields are named, with their reasons.",
    401: "No token, or no session.",
    403: "Not allowed, or the token is void.",
    404: "There is no such thing.",
    406: "There is no form of it that the client accepts.",
    408: "The request took too long to arrive.",
    409: "Against the rules, or overtaken by another request.",
    412: "It has changed since the client read it.",
    413: "The body is too large.",
    415: "The body of a page's request is not declared as JSON, or a body has an unknown coding.",
    422: "The `Idempotency-Key` was used for another request; nothing was done.",
    429: "Too many for now; `Retry-After` tells when to come again.",
    431: "The head of the request is too large.",
    503: "Try again; `Retry-After` tells when.",
}
ALWAYS = frozenset({400, 408, 431, 503})
EVENT_STREAM = "text/event-stream"
_ATTRIBUTE = "__kerma_statuses__"
_BODIES = "__kerma_bodies__"
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Body:
    """A body of a request or a response: its type, an example, and its media type.

    Type None is the envelope of YAPTIDE. The type of an `EVENT_STREAM` is that of one event, as an
    object of its fields whose data are parsed; its example is a text.
    """

    type: Any
    example: Any
    media: str = "application/json"


@dataclass(frozen=True, slots=True)
class Bodies:
    """What a route takes, and what it shows on success; None for what is not described."""

    done: int
    takes: Body | None = None
    shows: Body | None = None


def envelope(message: str, **fields: Any) -> Body:
    """Return a body in the envelope of YAPTIDE, by an example."""
    return Body(None, {"message": message, **fields})


def answers(
    done: int, *others: int, takes: Body | None = None, shows: Body | None = None
) -> Callable[[Endpoint], Endpoint]:
    """Declare the status of success and those that the handler itself refuses with."""

    def mark(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _ATTRIBUTE, frozenset({done, *others}))
        setattr(endpoint, _BODIES, Bodies(done, takes, shows))
        return endpoint

    return mark


def bodies_of(route: APIRoute) -> Bodies:
    """Return what a route takes and shows. Raises `ContractViolation` if it declares nothing."""
    found = getattr(route.endpoint, _BODIES, None)
    if not isinstance(found, Bodies):
        raise ContractViolation(f"{route.path} does not declare what it answers")
    return found


def statuses_of(route: APIRoute) -> tuple[int, ...]:
    """Return every status of a route, sorted. Raises `ContractViolation` if it declares none."""
    own = getattr(route.endpoint, _ATTRIBUTE, None)
    if own is None:
        raise ContractViolation(f"{route.path} does not declare what it answers")
    policy = declared(route.endpoint)
    guarded = policy is not None and policy.access is not Access.PUBLIC
    token = {401, 403} if guarded else set()
    changes = bool((route.methods or set()) - SAFE)
    body = {413} if route.body_field is not None else set()
    source = {403, 415} if changes else set()
    return tuple(sorted(own | ALWAYS | token | body | source))
