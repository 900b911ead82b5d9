"""Proxies in front of a service: whose word about clients is believed, and whose is not."""

import logging
from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network

from starlette.types import ASGIApp, Receive, Scope, Send

_log = logging.getLogger(__name__)
NAME = b"x-forwarded-for"
WARNING = (
    "X-Forwarded-For from {peer} is not believed. If it is your proxy, name it in"
    " KERMA_HTTP_TRUSTED_PROXIES: until then all its clients share the limits of one address."
)


class Proxies:
    """The trusted proxies; remembers that another one speaks for clients."""

    def __init__(self, trusted: Sequence[str]) -> None:
        self._trusted = tuple(map(ip_network, trusted))
        self._warning: str | None = None

    @property
    def warnings(self) -> Mapping[str, str]:
        """Return what an operator should look at, by part; empty if there is nothing."""
        return {} if self._warning is None else {"proxy": self._warning}

    def look(self, scope: Scope) -> None:
        """Warn once, if a peer that is not trusted says who the client is."""
        if self._warning is not None or all(name != NAME for name, _ in scope["headers"]):
            return
        peer = scope["client"][0] if scope.get("client") else ""
        if not self._trusts(peer):
            self._warning = WARNING.format(peer=peer or "an unknown peer")
            _log.warning("%s", self._warning)

    def _trusts(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._trusted)


class Watched:
    """Layer that lets ``proxies`` look at the head of each request, as it came from the peer."""

    def __init__(self, app: ASGIApp, proxies: Proxies) -> None:
        self._app = app
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http":
            self._proxies.look(scope)
        await self._app(scope, receive, send)
