"""Which service answers a path: the one table behind every gateway.

The table is derived from the services' own routes (`deriving.py`) and written by
`./kerma generate`, so that a gateway knows it without loading a service.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from starlette.routing import compile_path

from kerma_allinone.edge.routes import ROUTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

FALLBACK = "auth"
"""The service that answers paths without a route: 404 in the words of every service."""
INTERNAL = "/internal"
"""Paths below this are for operators inside the system; a gateway never passes them on."""


class Route(NamedTuple):
    """A method at a path of a service.

    ``large``: its body may be as large as the edge allows; ``streamed``: as large as it allows a body
    that is read piece by piece.
    """

    method: str
    path: str
    service: str
    large: bool
    streamed: bool = False

    @property
    def fixed(self) -> bool:
        """Whether the path has no parameter."""
        return "{" not in self.path

    @property
    def pattern(self) -> str:
        """The regular expression of a path with parameters, on the decoded path."""
        return re.sub(r"\?P<\w+>", "", compile_path(self.path)[0].pattern)


class RouteTable:
    """Routes by path. A path belongs to one service, whatever the method."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)

    @cached_property
    def paths(self) -> Mapping[str, tuple[Route, ...]]:
        """Routes by path, in the order in which patterns are tried."""
        found: dict[str, tuple[Route, ...]] = {}
        for route in self.routes:
            found[route.path] = (*found.get(route.path, ()), route)
        return found

    @cached_property
    def methods(self) -> frozenset[str]:
        """All methods in use."""
        return frozenset(route.method for route in self.routes)

    @cached_property
    def _fixed(self) -> Mapping[str, str]:
        return {route.path: route.service for route in self.routes if route.fixed}

    @cached_property
    def _patterns(self) -> tuple[tuple[re.Pattern[str], str], ...]:
        by_path = {route.path: route for route in self.routes if not route.fixed}
        return tuple((re.compile(route.pattern), route.service) for route in by_path.values())

    def service_of(self, path: str) -> str:
        """Return the name of the service that answers ``path``; unknown paths have one too."""
        if (found := self._fixed.get(path)) is not None:
            return found
        matching = (service for pattern, service in self._patterns if pattern.match(path))
        return next(matching, FALLBACK)


TABLE = RouteTable(Route(*row) for row in ROUTES)


class LocalGateway:
    """Routes to services in the same process; ``internal`` answers the operators' paths for all of
    them.
    """

    def __init__(
        self, apps: Mapping[str, ASGIApp], internal: ASGIApp, table: RouteTable = TABLE
    ) -> None:
        self._apps = apps
        self._internal = internal
        self._table = table

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand one request to its service."""
        path = scope["path"]
        if path.startswith(INTERNAL):
            app = self._internal
        else:
            app = self._apps[self._table.service_of(path)]
        await app(scope, receive, send)
