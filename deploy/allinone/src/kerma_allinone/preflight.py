"""Find what would stop laptop mode later, before anything starts; each obstacle is one sentence.

Every check returns None or the sentence; `problems` collects them, so that a user reads all at once
and not one per attempt.
"""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import psutil

from kerma_allinone.children.process import ChildError, directory_lock
from kerma_common.room import RoomSettings
from kerma_common.settings import load, private_places
from kerma_sandbox.measure import misplaced

MB = 1 << 20
DATA_RESERVES = 2
SERVICES_MB = 600
ENGINE_MB = 250
LIBRARIES = {
    "libGL.so.1": "libgl1",
    "libX11.so.6": "libx11-6",
    "libXext.so.6": "libxext6",
    "libICE.so.6": "libice6",
    "libSM.so.6": "libsm6",
    "libstdc++.so.6": "libstdc++6",
}
"""Libraries that `geant4_pybind` links and does not bundle, with the Debian packages."""
PROBE = """
import ctypes, sys
for name in sys.argv[1:]:
    try:
        ctypes.CDLL(name)
    except OSError:
        print(name)
"""


def check(data: Path, port: int, slots: int | None) -> None:
    """Raise ChildError with every obstacle to ``kerma up``, before anything starts."""
    if (data / "lock").exists():
        with directory_lock(data):
            pass  # a locked data directory explains more than a taken port, which it implies
    engines = len(os.sched_getaffinity(0)) if slots is None else slots
    if found := problems("127.0.0.1", port, data, engines):
        raise ChildError("\n".join(found))


def problems(host: str, port: int, data: Path, engines: int) -> list[str]:
    """Return all obstacles to serving on `host:port` from `data` with `engines` concurrent engines."""
    checks = (
        port_taken(host, port),
        disk_full(data),
        misplaced((data, *private_places())),
        libraries_missing(),
        memory_low(engines),
    )
    return [sentence for sentence in checks if sentence is not None]


def port_taken(host: str, port: int) -> str | None:
    """Return whether the port is in use, or this user may not listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except PermissionError:
        return f"port {port} needs root; choose one above 1023 with --port"
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno is not None else str(error)
        return f"port {port} on {host}: {reason}; choose another with --port"
    return None


def disk_full(data: Path, needed_mb: int | None = None) -> str | None:
    """Return whether the data folder can't be written or has less room than twice the reserve."""
    if needed_mb is None:
        needed_mb = DATA_RESERVES * load(RoomSettings).room_reserve_mb
    place = data.absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        return f"{place} is not a folder; choose another place with --data"
    if not os.access(place, os.W_OK | os.X_OK):
        return f"{place} cannot be written; choose another place with --data"
    free = shutil.disk_usage(place).free // MB
    if free < needed_mb:
        return (
            f"only {free} MB are free for {data}, {needed_mb} MB are needed;"
            " free some space or choose another place with --data"
        )
    return None


def libraries_missing(libraries: dict[str, str] | None = None) -> str | None:
    """Return which shared libraries of Geant4 are missing; loads them in a separate process."""
    wanted = LIBRARIES if libraries is None else libraries
    probe = subprocess.run(
        [sys.executable, "-I", "-S", "-c", PROBE, *wanted],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    missing = probe.stdout.split()
    if not missing:
        return None
    packages = " ".join(wanted[name] for name in missing)
    return (
        f"Geant4 needs the shared libraries {', '.join(missing)};"
        f" install them (Debian, Ubuntu: apt install {packages})"
    )


def memory_low(engines: int) -> str | None:
    """Return whether services and engines together need more memory than is free."""
    needed = SERVICES_MB + engines * ENGINE_MB
    free = psutil.virtual_memory().available // MB
    if free >= needed:
        return None
    return f"only {free} MB of memory are free, about {needed} MB are needed for {engines} engines"
