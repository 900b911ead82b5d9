"""Proxies in front of a service: whose word about clients is believed, and whose is not."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address, ip_network

from starlette.types import ASGIApp, Receive, Scope, Send

_log = logging.getLogger(__name__)
NAME = b"x-forwarded-for"
WARNING = (
    "X-Forwarded-For from {peer} is not believed. If it is your proxy, name it in"
    " KERMA_HTTP_TRUSTED_PROXIES: until then all its clients share the limits of one address."
)
TOLD_SECONDS = 3600.0
"""How long a peer that was told is not told again."""
MOST_TOLD = 8
"""Peers told in that time, and named at a time: those with most requests. Anybody who reaches the
service may speak for clients; a proxy in front of it does with every request."""
MOST_COUNTED = 64
_SEEN = "kerma.peer"
"""Marks a request in its scope that a gateway in the same process has looked at."""


class Proxies:
    """The trusted proxies; tells of others that speak for clients. ``clock`` is monotonic."""

    def __init__(self, trusted: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._trusted = tuple(map(ip_network, trusted))
        self._clock = clock
        self._told: dict[str, float] = {}  # the one told longest ago comes first
        self._since = clock()
        self._requests: dict[str, int] = {}  # of this hour, by peer
        self._before: dict[str, int] = {}  # of the hour before

    @property
    def warnings(self) -> Mapping[str, str]:
        """Return what an operator should look at, by part; empty if there is nothing."""
        self._forget()
        return {f"proxy {peer}": WARNING.format(peer=peer) for peer in self._named()}

    def look(self, scope: Scope) -> None:
        """Warn, once an hour for each, of peers that say who the client is without being trusted."""
        if _SEEN in scope:
            return
        scope[_SEEN] = True
        if all(name != NAME for name, _ in scope["headers"]):
            return
        peer = scope["client"][0] if scope.get("client") else ""
        if self._trusts(peer):
            return
        peer = peer or "an unknown peer"
        self._forget()
        self._count(peer)
        if peer not in self._told and len(self._told) < MOST_TOLD and peer in self._named():
            self._told[peer] = self._clock()
            _log.warning("%s", WARNING.format(peer=peer))

    def _count(self, peer: str) -> None:
        """Count a request; a peer too many takes the place and the number of the one with fewest.

        So whoever sends more than one request of ``MOST_COUNTED`` stays among those that are counted,
        however many others there are.
        """
        number = self._requests.get(peer, 0)
        if not number and len(self._requests) >= MOST_COUNTED:
            least = min(self._requests, key=self._requests.__getitem__)
            number = self._requests.pop(least)
        self._requests[peer] = number + 1

    def _named(self) -> list[str]:
        """Return the peers with most requests in this hour and the one before."""
        both = Counter(self._requests)
        both.update(self._before)
        return [peer for peer, _ in both.most_common(MOST_TOLD)]

    def _forget(self) -> None:
        now = self._clock()
        while self._told and next(iter(self._told.values())) <= now - TOLD_SECONDS:
            del self._told[next(iter(self._told))]
        if (hours := int((now - self._since) / TOLD_SECONDS)) > 0:
            self._before = self._requests if hours == 1 else {}
            self._requests = {}
            self._since += hours * TOLD_SECONDS

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
