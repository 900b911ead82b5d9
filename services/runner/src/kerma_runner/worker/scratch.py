"""Work directories of engines: one per lease, below one per worker, which holds a lock on it."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Scratch:
    """``home`` is the directory of this worker, ``dead`` names workers found to be gone."""

    home: Path
    dead: tuple[str, ...]


@contextmanager
def worker_scratch(root: Path, worker: str) -> Iterator[Scratch]:
    """A directory for this worker's life; what dead workers left behind is removed first.

    The kernel gives up a worker's lock when its process ends, however it ends; what still works
    in its directory is killed before it is called dead.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    dead = _clean(root)
    home = root / worker
    home.mkdir(mode=0o700)
    with (home / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield Scratch(home, dead)
        finally:
            shutil.rmtree(home, ignore_errors=True)


def work_directory(home: Path, index: int) -> Path:
    """A fresh directory for one lease."""
    return Path(tempfile.mkdtemp(prefix=f"{index}-", dir=home))


def remove(directory: Path) -> None:
    """Remove a work directory; what cannot be removed stays until the next worker starts."""
    shutil.rmtree(directory, ignore_errors=True)


def _clean(root: Path) -> tuple[str, ...]:
    dead = []
    for home in root.iterdir():
        try:
            lock = (home / _LOCK).open("r")
        except OSError:
            # a worker that is about to take its lock, or nothing of ours
            continue
        with lock, suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _end_processes(home)
            shutil.rmtree(home, ignore_errors=True)
            dead.append(home.name)
    return tuple(dead)


def _end_processes(home: Path) -> None:
    """Kill what still works in a dead worker's directory: its engines, if the guard died too."""
    inside = f"{home.resolve()}{os.sep}"
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if f"{process.cwd()}{os.sep}".startswith(inside):
                process.kill()
