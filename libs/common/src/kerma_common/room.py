"""Disk space: below a reserve, the system accepts no new work.

Running work needs the reserve: outputs of tasks, pages, the log. A disk that fills to the last byte
breaks servers; a refusal breaks nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from prometheus_client import Gauge
from pydantic import Field

from kerma_common.errors import Unavailable
from kerma_common.settings import Settings, load

MB = 1 << 20
RETRY_SECONDS = 30.0
"""When a refused client may ask again: space rarely returns sooner."""
FREE = Gauge("kerma_room_free_bytes", "Free bytes where data is kept", ["folder"])


class RoomSettings(Settings):
    """How much disk space stays free."""

    room_reserve_mb: int = Field(default=250, ge=1)
    """Below this much free space, submissions get 503."""


class Room(Protocol):
    """Check of whether there is space for new work."""

    def check(self) -> None:
        """Raise Unavailable, with the reason, if there is too little space."""


@dataclass(frozen=True, slots=True)
class DiskRoom:
    """Space in ``folders``; for one that does not exist, its closest existing parent counts."""

    folders: Sequence[Path]
    reserve: int
    """Bytes."""

    def short(self) -> str | None:
        """Return the reason to report if a folder has less than the reserve."""
        for folder in self.folders:
            free = free_bytes(folder)
            FREE.labels(str(folder)).set(free)
            if free < self.reserve:
                return (
                    f"the disk is almost full: {free // MB} MB are free,"
                    f" {self.reserve // MB} MB are kept in reserve"
                )
        return None

    def check(self) -> None:
        """See ``Room``."""
        if reason := self.short():
            raise Unavailable(f"Nothing new is taken in now: {reason}", RETRY_SECONDS)


def disk_room(*folders: Path) -> DiskRoom:
    """Return the ``Room`` of ``folders``, with the reserve from the settings."""
    return DiskRoom(folders, load(RoomSettings).room_reserve_mb * MB)


def free_bytes(folder: Path) -> int:
    """Return the bytes that can be written at ``folder``, whether or not it exists yet."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
