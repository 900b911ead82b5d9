"""What every confined process reads: the system's libraries, and Python with Kerma's packages."""

from __future__ import annotations

import os
import sys
import tempfile
from functools import cache
from pathlib import Path

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


def installation(program: Path, *, kept_from: Path) -> tuple[Path, ...]:
    """Return a program's installation: its directory, or the one above if that is ``bin``.

    Only the program itself if its directory is not an installation: a home, a temporary directory
    or one that contains ``kept_from``. Links are followed: their targets are readable as well.
    """
    places = dict.fromkeys((program, program.resolve()))
    return tuple(dict.fromkeys(_folder(place, kept_from) for place in places))


def holds(folder: Path, place: Path) -> bool:
    """Return whether ``place`` is ``folder`` or below it, links followed."""
    return place.resolve().is_relative_to(folder.resolve())


def _folder(program: Path, kept_from: Path) -> Path:
    folder = program.parent
    if folder.name in {"bin", "sbin"}:
        folder = folder.parent
    public = {Path("/"), Path("/home"), Path("/root"), Path("/tmp"), Path("/opt")}  # noqa: S108
    public |= {Path(tempfile.gettempdir()), Path(os.path.expanduser("~"))}  # noqa: PTH111
    return program if folder in public or holds(folder, kept_from) else folder
