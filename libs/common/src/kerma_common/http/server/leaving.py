"""The moment at which a server stops: responses that last for hours end then."""

from __future__ import annotations

from collections.abc import Callable

LEAVING = "kerma.leaving"
"""Key of the server's `Leaving` among the extensions of an ASGI scope."""


class Leaving:
    """Functions that are called when the server stops."""

    def __init__(self) -> None:
        self._told: dict[Callable[[], None], None] = {}
        self._over = False

    def add(self, function: Callable[[], None]) -> None:
        """Call a function when the server stops, or now if it is stopping."""
        if self._over:
            function()
        else:
            self._told[function] = None

    def remove(self, function: Callable[[], None]) -> None:
        """Forget a function; doing so twice is harmless."""
        self._told.pop(function, None)

    def now(self) -> None:
        """Call all functions."""
        self._over = True
        told, self._told = self._told, {}
        for function in told:
            function()
