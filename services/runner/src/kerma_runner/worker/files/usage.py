"""How much room an engine takes: what lies in its work folder, and what it deleted but holds open.

Measured by a walk that follows no link, leaves no file system and looks at a bounded number of
entries, so that no tree can keep it busy. Blocks count, not lengths: a sparse file takes what it
takes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MAX_DEPTH = 32
"""Folders within folders; one descriptor each is open during the walk."""

_BLOCK = 512
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class Usage:
    """``size`` in bytes of disk; ``deep`` tells of folders below ``MAX_DEPTH``, not looked into."""

    size: int = 0
    entries: int = 0
    deep: bool = False


def usage(folder: Path, most_entries: int, processes: Iterable[int] = ()) -> Usage:
    """Room taken by a work folder and by files that ``processes`` hold open though they are gone.

    The walk ends early when there are more than ``most_entries``.
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
