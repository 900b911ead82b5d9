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
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


class Body(Enum):
    """What a handler reads."""

    WHOLE = "whole"
    """A body as large as the edge allows, held in memory."""
    STREAM = "stream"
    """A body of any size up to `HttpSettings.stream_limit`, piece by piece."""


def takes(body: Body) -> Callable[[Endpoint], Endpoint]:
    """Declare what a handler reads."""

    def mark(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _ATTRIBUTE, body)
        return endpoint

    return mark


def taken(endpoint: Callable[..., Any] | None) -> Body | None:
    """Return what a handler declares, or None."""
    found = getattr(endpoint, _ATTRIBUTE, None)
    return found if isinstance(found, Body) else None
