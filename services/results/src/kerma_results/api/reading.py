"""Reads the JSON bodies of deliveries that are not streamed.

A large one costs memory, a process and a place, of which there are few: its key is read from its
beginning and verified before the rest arrives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from starlette.requests import Request

from kerma_common.http.body.heads import identity_of
from kerma_common.http.body.json_body import LARGE, parse
from kerma_common.http.body.reading import Arriving
from kerma_common.security.update_keys import Verb
from kerma_results.app.callers import CANCELED, Callers, require_open
from kerma_results.app.places import Places


class Bodies(Protocol):
    """Reads large bodies in processes of their own."""

    async def read(self, body: bytes, depth_limit: int, keys: tuple[str, ...]) -> dict[str, Any]:
        """Return the values of these members, large ones as ``Unparsed``."""


@dataclass(frozen=True, slots=True)
class DeliveryReader:
    """Reads bodies with these members at most."""

    callers: Callers
    bodies: Bodies
    places: Places
    depth: int
    keys: tuple[str, ...]

    async def read(self, request: Request) -> dict[str, Any]:
        """Return the body. Raises InvalidRequest, Unavailable."""
        body = Arriving(request.stream(), request.app.state.settings.body_limit)
        first = await body.beginning(LARGE)
        if len(first) <= LARGE:
            return parse(first, self.depth)
        caller = await self.callers.verified(*await identity_of(first), Verb.LOGS)
        require_open(caller, "logs", CANCELED)
        whole = await body.whole()
        async with self.places.place(caller.job.owner, f"logs of {caller.job_id}"):
            return await self.bodies.read(whole, self.depth, self.keys)
