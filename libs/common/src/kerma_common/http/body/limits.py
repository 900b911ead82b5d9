"""How much of a body a handler takes that reads it itself.

    @router.post("/results")
    @takes(Body.STREAM)
    @public()
    async def results(request: Request) -> Response: ...

Other handlers declare what they need, and get JSON of at most 64 KiB, or of any size that
`large_bodies` reads.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

_ATTRIBUTE = "__kerma_body__"
_MOST = "__kerma_body_bytes__"
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


class Body(Enum):
    """What a handler reads."""

    WHOLE = "whole"
    """A body as large as the edge allows, held in memory."""
    STREAM = "stream"
    """A body of any size up to `HttpSettings.stream_limit`, piece by piece."""


def takes(body: Body, most: int | None = None) -> Callable[[Endpoint], Endpoint]:
    """Declare what a handler reads, and how many bytes at most if it has a limit of its own."""

    def mark(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _ATTRIBUTE, body)
        setattr(endpoint, _MOST, most)
        return endpoint

    return mark


def taken(endpoint: Callable[..., Any] | None) -> Body | None:
    """Return what a handler declares, or None."""
    found = getattr(endpoint, _ATTRIBUTE, None)
    return found if isinstance(found, Body) else None


def most_taken(endpoint: Callable[..., Any] | None) -> int | None:
    """Return the limit that a handler declares for its bodies, or None."""
    found = getattr(endpoint, _MOST, None)
    return found if isinstance(found, int) else None
