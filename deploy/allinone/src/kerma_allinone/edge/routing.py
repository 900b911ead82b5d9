"""Which service answers a path: the one table behind every gateway."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

FALLBACK = "auth"

_EXACT: Mapping[str, str] = {
    "/": "auth",
    "/jobs": "jobs",
    "/jobs/direct": "jobs",
    "/inputs": "jobs",
    "/results": "results",
    "/estimators": "results",
    "/logfiles": "results",
    "/clusters": "batch",
    "/v1/engines": "runner",
}
_PREFIXES: tuple[tuple[str, str], ...] = (
    ("/auth/", "auth"),
    ("/user/update", "auth"),
    ("/user/", "jobs"),
    ("/v1/users", "auth"),
    ("/v1/tokens", "auth"),
    ("/v1/jobs", "jobs"),
    ("/v1/runner/", "runner"),
    ("/v1/results/", "results"),
)
INTERNAL = "/internal"
"""Paths below this are for operators inside the system; a gateway never passes them on."""


def service_of(path: str) -> str:
    """Return the name of the service that answers ``path``; unknown paths have one too."""
    if path in _EXACT:
        return _EXACT[path]
    for prefix, service in _PREFIXES:
        if path.startswith(prefix):
            return service
    return FALLBACK


class LocalGateway:
    """Routes to services in the same process; ``internal`` answers the operators' paths for all of
    them.
    """

    def __init__(self, apps: Mapping[str, ASGIApp], internal: ASGIApp) -> None:
        self._apps = apps
        self._internal = internal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand one request to its service."""
        path = scope["path"]
        app = self._internal if path.startswith(INTERNAL) else self._apps[service_of(path)]
        await app(scope, receive, send)
