"""Disk space that an engine takes: its work folder, and deleted files that it holds open.

Measured by a walk that follows no links, stays on one file system and visits a bounded number of
entries, so no tree can keep it busy. It counts blocks, not lengths: a sparse file counts as what it
occupies.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MAX_DEPTH = 32
"""Nesting of folders; the walk holds one descriptor open per level."""

_BLOCK = 512
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class Usage:
    """``size`` in bytes of disk; ``deep`` if folders below ``MAX_DEPTH`` were not visited."""

    size: int = 0
    entries: int = 0
    deep: bool = False


def usage(folder: Path, most_entries: int, processes: Iterable[int] = ()) -> Usage:
    """Return the space taken by a work folder and by deleted files that ``processes`` hold open.

    The walk stops early at ``most_entries``.
    """
    found = Usage()
    seen: set[tuple[int, int]] = set()
    try:
        top = os.open(folder, _FOLDER)
    except OSError:
        return found
    device = os.fstat(top).st_dev
    _walk(top, device, found, seen, most_entries)
    for process in processes:
        _add_deleted(process, device, found, seen)
    return found


def _walk(
    top: int, device: int, found: Usage, seen: set[tuple[int, int]], most_entries: int
) -> None:
    stack = [(top, os.scandir(top))]
    try:
        while stack and found.entries <= most_entries:
            handle, entries = stack[-1]
            entry = next(entries, None)
            if entry is None:
                entries.close()
                os.close(handle)
                stack.pop()
                continue
            found.entries += 1
            with suppress(OSError):
                state = entry.stat(follow_symlinks=False)
                _add(state, found, seen)
                if stat.S_ISDIR(state.st_mode) and state.st_dev == device:
                    if len(stack) > MAX_DEPTH:
                        found.deep = True
                    else:
                        inner = os.open(entry.name, _FOLDER, dir_fd=handle)
                        stack.append((inner, os.scandir(inner)))
    finally:
        for handle, entries in stack:
            entries.close()
            os.close(handle)


def _add(state: os.stat_result, found: Usage, seen: set[tuple[int, int]]) -> None:
    if state.st_nlink > 1 or state.st_nlink == 0:
        if (state.st_dev, state.st_ino) in seen:
            return
        seen.add((state.st_dev, state.st_ino))
    found.size += state.st_blocks * _BLOCK


def _add_deleted(process: int, device: int, found: Usage, seen: set[tuple[int, int]]) -> None:
    with suppress(OSError):
        for handle in Path(f"/proc/{process}/fd").iterdir():
            with suppress(OSError):
                state = handle.stat()
                if state.st_nlink == 0 and state.st_dev == device and stat.S_ISREG(state.st_mode):
                    _add(state, found, seen)
