"""Reads the JSON bodies of deliveries that are not streamed.

The credential is in the body, so a larger one costs a process before the caller is known: it needs a
place, of which there are few.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from starlette.requests import Request

from kerma_common.http.body.json_body import LARGE, parse
from kerma_results.app.places import Places


class Bodies(Protocol):
    """Reads large bodies in processes of their own."""

    async def read(self, body: bytes, depth_limit: int, keys: tuple[str, ...]) -> dict[str, Any]:
        """Return the values of these members, large ones as ``Unparsed``."""


@dataclass(frozen=True, slots=True)
class DeliveryReader:
    """Reads bodies with these members at most."""

    bodies: Bodies
    places: Places
    depth: int
    keys: tuple[str, ...]

    async def read(self, request: Request) -> dict[str, Any]:
        """Return the body. Raises InvalidRequest, Unavailable."""
        body = await request.body()
        if len(body) <= LARGE:
            return parse(body, self.depth)
        async with self.places.place():
            return await self.bodies.read(body, self.depth, self.keys)
