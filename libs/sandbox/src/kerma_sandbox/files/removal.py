"""Removes folder trees that an engine made, whatever their shape.

A tree may be deeper than any path can name and hold millions of entries, folders without
permissions, names that are not text, mounts and immutable files. A folder is therefore moved aside
first, in one step, and a thread removes its contents later. Subfolders are moved next to the folder
that holds them and emptied in turn, so the walk needs neither recursion nor long paths, and at most
three file descriptors. It follows no links.
"""

from __future__ import annotations

import logging
import os
import queue
import stat
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NAMED = 5
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Leftovers:
    """What could not be removed: the number of entries, and the first few with reasons."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, name: str, error: OSError) -> None:
        """Count an entry that stays."""
        self.count += 1
        if len(self.first) < _NAMED:
            # engines may write names that are not text, or that hold terminal control sequences
            self.first.append(f"{name!a}: {error.strerror}")


def move_aside(folder: Path, trash: Path) -> None:
    """Move ``folder`` into ``trash``. Raises OSError when it cannot be moved, such as a mount."""
    with suppress(OSError):
        _open_up(folder.name, folder.parent)
    try:
        trash.mkdir(mode=0o700, exist_ok=True)
        folder.rename(trash / uuid4().hex)
    except FileNotFoundError:
        # another worker with the same trash removed it in between, or the folder is gone
        if os.path.lexists(folder):
            trash.mkdir(mode=0o700, exist_ok=True)
            folder.rename(trash / uuid4().hex)


def empty(trash: Path) -> Leftovers:
    """Remove everything in the folder ``trash``; return what could not be removed."""
    left = Leftovers()
    try:
        top = os.open(trash, _FOLDER)
    except OSError:
        return left
    try:
        device = os.fstat(top).st_dev
        with os.scandir(top) as entries:
            waiting = deque(e.name for e in entries if not _unlink(e.name, top, left))
        while waiting:
            name = waiting.popleft()
            waiting.extend(_empty_folder(name, top, device, left))
    finally:
        os.close(top)
    return left


def _empty_folder(name: str, top: int, device: int, left: Leftovers) -> list[str]:
    """Empty a folder of ``top``; return the names of its subfolders, which are now in ``top``."""
    moved: list[str] = []
    try:
        _open_up(name, top)
        folder = os.open(name, _FOLDER, dir_fd=top)
    except FileNotFoundError:
        # another worker empties the same trash
        return moved
    except OSError as error:
        left.add(name, error)
        return moved
    before = left.count
    try:
        if os.fstat(folder).st_dev != device:
            left.add(name, OSError(0, "is on another file system"))
            return moved
        with os.scandir(folder) as entries:
            for entry in entries:
                if not _unlink(entry.name, folder, left):
                    _move_up(entry.name, folder, top, moved, left)
    except OSError as error:
        left.add(name, error)
    finally:
        os.close(folder)
    if left.count == before:
        try:
            os.rmdir(name, dir_fd=top)
        except FileNotFoundError:
            pass
        except OSError as error:
            left.add(name, error)
    return moved


def _unlink(name: str, folder: int, left: Leftovers) -> bool:
    """Return whether ``name`` is dealt with: removed, gone or counted; False for a folder."""
    try:
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            return False
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass
    except OSError as error:
        left.add(name, error)
    return True


def _move_up(name: str, folder: int, top: int, moved: list[str], left: Leftovers) -> None:
    fresh = uuid4().hex
    try:
        _open_up(name, folder)
        os.rename(name, fresh, src_dir_fd=folder, dst_dir_fd=top)
    except OSError as error:
        left.add(name, error)
    else:
        moved.append(fresh)


def _open_up(name: str, parent: int | Path) -> None:
    """Give the owner all rights to a folder, which moving and emptying it require."""
    within = None if isinstance(parent, Path) else parent
    path = parent / name if isinstance(parent, Path) else name
    handle = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=within)
    try:
        if os.fstat(handle).st_mode & stat.S_IRWXU != stat.S_IRWXU:
            # through the descriptor: by name, a link might have replaced the folder
            Path(f"/proc/self/fd/{handle}").chmod(0o700)
    finally:
        os.close(handle)


class Remover:
    """Removes folders in a thread, so that nothing waits for it.

    ``trash`` must be on the file system of the folders. What a former process left in it is removed
    too.
    """

    def __init__(self, trash: Path) -> None:
        self._trash = trash
        self._asked: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._logged: set[str] = set()
        # a daemon thread, so that the process can exit in the middle of a tree of millions of files
        self._thread = threading.Thread(target=self._run, name="remover", daemon=True)

    def start(self) -> None:
        """Start removing what is already in the trash."""
        self._thread.start()
        self._asked.put(True)

    def remove(self, folder: Path) -> bool:
        """Move a folder aside to be removed later; return False if it cannot be moved."""
        try:
            move_aside(folder, self._trash)
        except OSError as error:
            _log.warning("a folder stays: %s: %s", ascii(str(folder)), error.strerror)
            return False
        self._asked.put(True)
        return True

    def stop(self, seconds: float) -> None:
        """Stop within ``seconds``; the next process removes the rest."""
        self._asked.put(False)
        self._thread.join(seconds)
        with suppress(OSError):
            self._trash.rmdir()

    def _run(self) -> None:
        while self._asked.get():
            try:
                left = empty(self._trash)
            except OSError:
                _log.exception("the trash cannot be emptied")
                continue
            if left.count and self._logged.isdisjoint(left.first):
                self._logged.update(left.first)
                _log.warning("%d entries stay in the trash", left.count, extra={"left": left.first})
