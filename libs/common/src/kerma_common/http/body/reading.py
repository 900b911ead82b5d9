"""Reads bodies in one piece, no further than their limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerma_common.errors import TooLarge

if TYPE_CHECKING:
    from starlette.requests import Request


async def whole(request: Request, most: int) -> bytes:
    """Return the body. Raises TooLarge once more than ``most`` bytes of it have arrived."""
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            raise TooLarge(most)
        pieces.append(piece)
    return b"".join(pieces)
