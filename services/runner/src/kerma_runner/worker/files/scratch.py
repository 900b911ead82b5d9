"""Folders of engines, inside a folder per worker that the worker locks.

The lock also shows that a worker has died: the kernel releases it when the process ends, however it
ends. The folder stays until the runner knows that the worker is gone, so the next worker to start
can hand its leases back at once.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from uuid import uuid4

import psutil

from kerma_sandbox.files.removal import Remover

_LOCK = ".lock"
_TRASH = ".trash"
_STARTING_SECONDS = 60.0
_STOP_SECONDS = 2.0
_PROBE = b"\0" * (1 << 16)


_HOST = re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())[:40]


def worker_id() -> str:
    """Return a unique name for this process, so that no other process inherits its leases."""
    return f"{_HOST}-{os.getpid()}-{uuid4().hex[:8]}"


def of_this_host(worker: str) -> bool:
    """Return whether a worker ran on this host: other machines' locks prove nothing here."""
    return re.fullmatch(rf"{re.escape(_HOST)}-\d+-[0-9a-f]{{8}}", worker) is not None


@dataclass(slots=True)
class Scratch:
    """The scratch as one worker sees it; ``home`` is the worker's folder.

    ``retired`` means the runner knows that this worker leaves and holds no lease any more.
    """

    root: Path
    home: Path
    remover: Remover
    retired: bool = False

    def dead(self) -> tuple[str, ...]:
        """Return the workers of this machine whose processes are gone, and move their files aside.

        They are returned every time until they are forgotten. Processes that still run in the
        folder of a dead worker are killed first.
        """
        found = []
        for home in self.root.iterdir():
            if home.name not in (_TRASH, self.home.name) and _is_dead(home):
                _clear(home, self.remover)
                if of_this_host(home.name):
                    found.append(home.name)
                else:
                    self.forget(home.name)
        return tuple(found)

    def new_folder(self) -> Path:
        """Return a new folder. Raises OSError."""
        return Path(tempfile.mkdtemp(prefix="session-", dir=self.home))

    def emptied(self, folder: Path) -> bool:
        """Remove the contents of a folder; return whether it is empty now."""
        try:
            for entry in folder.iterdir():
                if entry.is_dir() and not entry.is_symlink():
                    self.remover.remove(entry)
                else:
                    entry.unlink()
            return not any(folder.iterdir())
        except OSError:
            return False

    def remove(self, directory: Path) -> None:
        """Move a folder aside now; it is removed later."""
        self.remover.remove(directory)

    def forget(self, worker: str) -> None:
        """Remove the folder of a dead worker once the runner knows of the death."""
        self.remover.remove(self.root / worker)

    def free(self) -> int:
        """Return the bytes that this process may still write. Raises OSError."""
        system = os.statvfs(self.home)
        return system.f_bavail * system.f_frsize

    def lacks(self, reserve: int) -> str | None:
        """Return why no engine can work here, or None.

        Reasons are fewer than ``reserve`` bytes free, or a scratch that cannot be written.
        """
        try:
            if (free := self.free()) < reserve:
                return f"{free} bytes are free, fewer than {reserve} (KERMA_WORKER_RESERVE)"
            with tempfile.TemporaryFile(dir=self.home) as probe:
                probe.write(_PROBE)
                probe.flush()
                os.fsync(probe.fileno())
        except OSError as error:
            return f"it cannot be written: {error.strerror}"
        return None


@contextmanager
def worker_scratch(root: Path, worker: str) -> Iterator[Scratch]:
    """Provide a folder for the life of this worker."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    remover = Remover(root / _TRASH)
    home, lock = _home(root, worker)
    with lock:
        scratch = Scratch(root, home, remover)
        remover.start()
        try:
            yield scratch
        finally:
            if scratch.retired:
                remover.remove(home)
            else:
                _clear(home, remover)
            remover.stop(_STOP_SECONDS)


def _home(root: Path, worker: str) -> tuple[Path, IO[str]]:
    """Return a new folder with a held lock; the lock file is not empty once it is held."""
    home = root / worker
    home.mkdir(mode=0o700)
    lock = (home / _LOCK).open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    lock.write(worker)
    lock.flush()
    return home, lock


def _is_dead(home: Path) -> bool:
    """Return whether this is a worker's folder with a released lock; kill what still runs in it."""
    try:
        handle = os.open(home / _LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        # not a worker's folder
        return False
    with os.fdopen(handle) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        state = os.fstat(handle)
        if not state.st_size and time.time() - state.st_mtime < _STARTING_SECONDS:
            # its worker is about to take the lock
            return False
        _end_processes(home)
        return True


def _clear(home: Path, remover: Remover) -> None:
    """Move the contents of a worker's folder aside, except the lock."""
    with suppress(OSError):
        for entry in home.iterdir():
            if entry.name != _LOCK:
                remover.remove(entry)


def _end_processes(home: Path) -> None:
    """Kill what still runs in a dead worker's folder: engines survive if the guard died too."""
    inside = f"{home.resolve()}{os.sep}"
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if f"{process.cwd()}{os.sep}".startswith(inside):
                process.kill()
