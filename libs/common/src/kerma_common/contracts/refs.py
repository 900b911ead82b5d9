"""References from events to bytes in the blob store."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ref:
    """A content-addressed blob: lower-case hex sha256, size in bytes, media type."""

    sha256: str
    size: int
    media: str = "application/octet-stream"
