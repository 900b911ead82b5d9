"""What every confined process reads: the system's libraries, and Python with Kerma's packages."""

from __future__ import annotations

import os
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SYSTEM = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
    "/etc/localtime",
    "/sys/devices/system/cpu",
)
DEVICES = ("/dev/null", "/dev/full", "/dev/random", "/dev/urandom")
"""Not ``/dev/zero``: a shared mapping of it is memory that stays when no process maps it."""
_SHARED = frozenset({"etc", "home", "media", "mnt", "opt", "root", "run", "srv", "tmp", "var"})
"""Folders of ``/`` with files of any kind."""
PROCESS_FILES = ("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys/vm")


@cache
def interpreter() -> tuple[Path, ...]:
    """Return the directories of Kerma's interpreter, its packages and Kerma's sources.

    Sources may be outside the environment. The rest of ``sys.path`` is left out, as it may include
    the directory where Kerma was started.
    """
    found = [Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve().parent]
    found += [Path(entry) for entry in sys.path if any(Path(entry).glob("kerma_*/__init__.py"))]
    found = [path.absolute() for path in found]
    return tuple(path for path in dict.fromkeys(found) if path != Path("/"))


def exposed(shown: Iterable[Path], private: Iterable[Path]) -> tuple[Path, Path] | None:
    """Return the first path of ``shown`` that is or holds one of ``private``, and that one.

    A confined process reads all of ``shown``. Links are followed, and missing paths are allowed.
    """
    places = [place.resolve() for place in private]
    for path in shown:
        whole = path.resolve()
        for place in places:
            if place.is_relative_to(whole):
                return path, place
    return None


def shown_to_all() -> tuple[Path, ...]:
    """Return what every confined process reads besides its own places."""
    return (*map(Path, SYSTEM), *interpreter())


def installation(program: Path, *, kept_from: Sequence[Path]) -> tuple[Path, ...]:
    """Return a program's installation: its directory, or the one above if that is ``bin``.

    Only the program itself if its directory is not an installation: a home, a top directory for
    files of any kind, or one that contains a path of ``kept_from``. Links are followed: their targets are readable as
    well.
    """
    places = dict.fromkeys((program, program.resolve()))
    return tuple(dict.fromkeys(_folder(place, kept_from) for place in places))


def _folder(program: Path, kept_from: Sequence[Path]) -> Path:
    folder = program.parent
    if folder.name in {"bin", "sbin"}:
        folder = folder.parent
    public = {Path("/"), *(Path("/", name) for name in _SHARED), Path("/var/lib"), Path("/var/tmp")}  # noqa: S108
    public |= {Path(tempfile.gettempdir()), Path(os.path.expanduser("~"))}  # noqa: PTH111
    shared = folder in public or folder.parent == Path("/home")
    return program if shared or exposed((folder,), kept_from) else folder
