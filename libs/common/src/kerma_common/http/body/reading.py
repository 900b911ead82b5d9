"""Reads bodies in one piece, no further than their limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerma_common.errors import TooLarge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request


async def whole(request: Request, most: int) -> bytes:
    """Return the body. Raises TooLarge once more than ``most`` bytes of it have arrived."""
    return await Arriving(request.stream(), most).whole()


class Arriving:
    """A body of at most ``most`` bytes that can be looked at before all of it is read."""

    def __init__(self, pieces: AsyncIterator[bytes], most: int) -> None:
        self._pieces = pieces
        self._most = most
        self._read: list[bytes] = []
        self._size = 0

    async def beginning(self, size: int) -> bytes:
        """Return the whole body, or more than ``size`` bytes of a larger one. Raises TooLarge."""
        while self._size <= size and (piece := await anext(self._pieces, None)) is not None:
            self._size += len(piece)
            if self._size > self._most:
                raise TooLarge(self._most)
            self._read.append(piece)
        self._read = [b"".join(self._read)]
        return self._read[0]

    async def whole(self) -> bytes:
        """Return the body. Raises TooLarge."""
        return await self.beginning(self._most)
