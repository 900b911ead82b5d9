"""Disk space that an engine takes: its work folder, and deleted files that it holds open or mapped.

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
_DELETED = b" (deleted)\n"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class Usage:
    """``size`` in bytes of disk; ``deep`` if folders below ``MAX_DEPTH`` were not visited."""

    size: int = 0
    entries: int = 0
    deep: bool = False


def usage(folder: Path, most_entries: int, processes: Iterable[int] = ()) -> Usage:
    """Return the space taken by a work folder and by deleted files that ``processes`` hold.

    The walk stops early at ``most_entries``. A deleted file that is mapped but not open counts in
    full only for root; others may not look at it, so they count the mapped part.
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
    """Count deleted files that a process has open, executes or maps."""
    own = Path(f"/proc/{process}")
    with suppress(OSError):
        for handle in (own / "fd").iterdir():
            _add_handle(handle, device, found, seen)
        _add_handle(own / "exe", device, found, seen)
        _add_mapped(own, device, found, seen)


def _add_mapped(own: Path, device: int, found: Usage, seen: set[tuple[int, int]]) -> None:
    with (own / "maps").open("rb") as maps:
        deleted = [line.split(maxsplit=5) for line in maps if line.endswith(_DELETED)]
    for addresses, _, offset, _, inode, _ in deleted:
        start, end = (int(address, 16) for address in addresses.split(b"-"))
        link = own / "map_files" / f"{start:x}-{end:x}"
        part = (-1 - int(offset, 16), int(inode))  # beside the devices, which are positive
        if (device, int(inode)) in seen or part in seen:
            continue
        if not _add_handle(link, device, found, seen):
            seen.add(part)
            found.size += end - start


def _add_handle(handle: Path, device: int, found: Usage, seen: set[tuple[int, int]]) -> bool:
    """Count what a link of ``/proc`` leads to, if it is a deleted file; return whether it opens."""
    try:
        state = handle.stat()
    except PermissionError:
        return False
    except OSError:
        return True
    if state.st_nlink == 0 and state.st_dev == device and stat.S_ISREG(state.st_mode):
        _add(state, found, seen)
    return True
