"""The memory budget that all request bodies of one server share."""

from __future__ import annotations

from prometheus_client import Gauge

from kerma_common.errors import Unavailable

HELD = Gauge("http_upload_bytes", "Bytes of request bodies that are held in memory")

UPLOADS = "kerma.uploads"
"""Key of the server's `Uploads` among the extensions of an ASGI scope."""
SMALL = 64 * 2**10
"""Bytes of a body that are not counted: logins and status must work beside any upload."""


class Uploads:
    """Budget of the bytes that bodies hold; each body takes as much as has arrived of it."""

    def __init__(self, budget: int) -> None:
        self.free = budget

    def take(self, size: int) -> None:
        """Take bytes from the budget. Raises `Unavailable` if too few are left."""
        if size > self.free:
            raise Unavailable("Too many uploads are in memory; please try again")
        self.free -= size
        HELD.inc(size)

    def give_back(self, size: int) -> None:
        """Return bytes to the budget."""
        self.free += size
        HELD.dec(size)
