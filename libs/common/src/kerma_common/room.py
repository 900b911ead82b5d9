"""Room on the disks: below a reserve, nothing new is taken in.

What runs already needs the reserve: outputs of tasks, pages, the log. A disk that fills up to the
last byte breaks servers; a refusal breaks nothing.
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
FREE = Gauge("kerma_room_free_bytes", "Free bytes where data is kept", ["folder"])


class RoomSettings(Settings):
    """How much room is kept free."""

    room_reserve_mb: int = Field(default=250, ge=1)
    """With less than this free, submissions get 503."""


class Room(Protocol):
    """Whether something new may be taken in."""

    def check(self) -> None:
        """Raises Unavailable, with the reason, when there is too little room."""


@dataclass(frozen=True, slots=True)
class DiskRoom:
    """Room in ``folders``; those that do not exist are looked for in what is above them."""

    folders: Sequence[Path]
    reserve: int
    """Bytes."""

    def short(self) -> str | None:
        """What to tell while a folder has less than the reserve."""
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
            raise Unavailable(f"Nothing new is taken in now: {reason}")


def disk_room(*folders: Path) -> DiskRoom:
    """Room in ``folders`` with the reserve of the settings."""
    return DiskRoom(folders, load(RoomSettings).room_reserve_mb * MB)


def free_bytes(folder: Path) -> int:
    """Bytes that may be written where ``folder`` is or would be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
