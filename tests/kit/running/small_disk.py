"""A small separate file system that a test fills up."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

MB = 1 << 20
_PIECE = 1 << 16


@dataclass(frozen=True)
class SmallDisk:
    """``folder`` is the mount point."""

    folder: Path

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"

    def fill(self, leave: int = 0) -> None:
        """Use up all but ``leave`` bytes."""
        with self._ballast.open("ab") as file:
            while (left := shutil.disk_usage(self.folder).free - leave) > 0:
                try:
                    file.write(os.urandom(min(left, _PIECE)))
                    file.flush()
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    return

    def free(self) -> None:
        """Release what ``fill`` used."""
        self._ballast.unlink()


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mount a disk of this size at ``folder``, which other users may enter."""
    folder.mkdir(exist_ok=True)
    options = f"size={megabytes}m,mode=0711"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        # Unmount lazily: a server of the test may still be ending.
        subprocess.run(["umount", "--lazy", folder], check=True)
