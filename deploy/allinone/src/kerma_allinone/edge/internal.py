"""Restrict the paths for operators to callers on this machine or with the data directory's token.

`./kerma up` listens on the loopback interface, but a proxy or a tunnel on the same machine lets
strangers in, and a browser sends requests of any web site whose name resolves to this address.
"""

from __future__ import annotations

from hmac import compare_digest
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from kerma_common.http.answers import answer

FORWARDED = frozenset({"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"})
REFUSAL = "This path is for callers on the same machine, or with the token in internal-token"


class Guarded:
    """Passes on requests from this machine itself, or with `Authorization: Bearer TOKEN`."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        headers = Headers(scope=scope)
        if _local(scope, headers) or self._knows(headers):
            await self._app(scope, receive, send)
        else:
            await answer(REFUSAL, 401)(scope, receive, send)

    def _knows(self, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and compare_digest(
            token.strip().encode(), self._token.encode()
        )


def _local(scope: Scope, headers: Headers) -> bool:
    client = scope.get("client")
    if client is None or not _is_loopback(client[0]) or FORWARDED & set(headers):
        return False
    host = headers.get("host", "")
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name == "localhost" or _is_loopback(name)


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
