"""What reads and syncs blobs in a local folder, from one thread.

`obstore` hands each call to threads of its own and back, which costs more processor time than the file:
450 µs to read 1.5 kB, 125 µs here. It writes, since the file itself is what costs there.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)

MOST_REMEMBERED = 1 << 15
"""Files that are remembered to last, which takes some 6 MB; then all are forgotten."""


class BlobFolder:
    """The files of a store by their keys, `<folder>/<name>`; the methods raise OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lasting: set[str] = set()
        """Folders whose own entries last, so that they are not synced for each file. None is removed."""
        self._synced: set[str] = set()
        """Files that last. None is removed."""

    def size(self, key: str) -> int | None:
        """Return the size of a file, or None if there is none."""
        try:
            return os.stat(f"{self.path}/{key}").st_size  # noqa: PTH116 - pathlib costs as much as the call
        except FileNotFoundError:
            return None

    def read(self, key: str, most: int) -> bytes:
        """Return the content of a file, at most so many bytes."""
        with open(f"{self.path}/{key}", "rb") as file:  # noqa: PTH123 - pathlib costs as much as the call
            return file.read(most)

    def sync(self, key: str) -> None:
        """Sync a file and its directory entries: events may only refer to bytes that last."""
        name = key.partition("/")[0]
        _sync(f"{self.path}/{key}")
        _sync(f"{self.path}/{name}")
        if name not in self._lasting:
            _sync(str(self.path))
            self._lasting.add(name)
        if len(self._synced) >= MOST_REMEMBERED:
            self._synced.clear()
        self._synced.add(key)

    def ensure(self, key: str) -> None:
        """Sync a file that was there, if this process does not know that it lasts.

        Who made it may not have synced it yet, or may have been killed before.
        """
        if key not in self._synced:
            self.sync(key)

    def sync_all(self) -> None:
        """Sync everything on the file system of the folder, which a thousand files share."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if _LIBC.syncfs(descriptor) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
        finally:
            os.close(descriptor)


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
