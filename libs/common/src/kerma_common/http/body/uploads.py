"""The memory budget that all request bodies of one server share."""

from __future__ import annotations

from collections import Counter

from prometheus_client import Gauge

from kerma_common.errors import Unavailable

HELD = Gauge("http_upload_bytes", "Bytes of request bodies that are held in memory")

UPLOADS = "kerma.uploads"
"""Key of the server's `Uploads` among the extensions of an ASGI scope."""
SMALL = 64 * 2**10
"""Bytes of a body that are not counted: logins and status must work beside any upload."""


class Uploads:
    """Budget of the bytes that bodies hold; each body takes as much as has arrived of it.

    The bodies of an address hold no more together than is left free for others: half of the budget
    while it is alone, a third while another address holds as much, and so on. So none fills it.
    """

    def __init__(self, budget: int) -> None:
        self.free = budget
        self._held: Counter[str] = Counter()

    def take(self, address: str, size: int) -> None:
        """Take bytes from the budget. Raises `Unavailable` if the address holds too many then."""
        if self._held[address] + size > self.free - size:
            raise Unavailable("Too many uploads are in memory; please try again")
        self._held[address] += size
        self.free -= size
        HELD.inc(size)

    def give_back(self, address: str, size: int) -> None:
        """Return bytes to the budget."""
        self._held[address] -= size
        if not self._held[address]:
            del self._held[address]
        self.free += size
        HELD.dec(size)
