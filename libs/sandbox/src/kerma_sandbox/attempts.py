"""Run inside a sandbox: try everything it must prevent and print, by wall, what succeeded.

Arguments: directory with canary files, TCP port, UDP port, abstract socket, process id, token. An argument
after the token is an error, so that the trial can't pass by accident.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import mmap
import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path

FEW_FILES = 37
"""The limit on open files that a process inside tries to give to one outside."""
_FEW = 4


def _through(action: Callable[[], bool]) -> bool:
    try:
        return action()
    except OSError:
        return False


def _reads(path: str, token: str) -> bool:
    return token.encode() in Path(path).read_bytes()


def _connects(family: int, address: str | tuple[str, int]) -> bool:
    with socket.socket(family) as made:
        made.settimeout(2)
        made.connect(address)
    return True


def _sends(port: int, token: str) -> bool:
    # the other side looks: sending succeeds in a network of its own, too
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.sendto(token.encode(), ("127.0.0.1", port))
    return False


def _signals(pid: int) -> bool:
    # The other side checks that it arrived: here the number may be another process's.
    os.kill(pid, signal.SIGTERM)
    return False


def _limits(pid: int) -> bool:
    # the other side looks, as for signals
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (FEW_FILES, FEW_FILES))
    return False


def _multiplies() -> bool:
    """Return whether the kernel lets the process fork past the limit on its user's processes."""
    most, highest = resource.getrlimit(resource.RLIMIT_NPROC)
    if most == resource.RLIM_INFINITY:
        return True
    resource.setrlimit(resource.RLIMIT_NPROC, (_FEW, highest))
    made = []
    try:
        for _ in range(_FEW + 1):
            if (pid := os.fork()) == 0:
                signal.pause()
            made.append(pid)
    except BlockingIOError:
        return False
    finally:
        for pid in made:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return True


def _keeps_socket_buffers() -> bool:
    for end in socket.socketpair():
        end.close()
    return True


def _keeps_shared_memory() -> bool:
    mmap.mmap(-1, mmap.PAGESIZE).close()
    return True


def _keeps_zeros() -> bool:
    with Path("/dev/zero").open("r+b", buffering=0) as zeros:
        mmap.mmap(zeros.fileno(), mmap.PAGESIZE).close()
    return True


def _keeps_unnamed_file() -> bool:
    os.close(os.memfd_create("trial"))
    return True


def _keeps_pages_in_pipe() -> bool:
    """Return whether a page can be moved to a pipe. Raises OSError."""
    read, write = os.pipe()
    page = ctypes.create_string_buffer(1)
    vector = struct.pack("PN", ctypes.addressof(page), 1)
    moved: int = ctypes.CDLL(None, use_errno=True).vmsplice(write, vector, 1, 0)
    os.close(read)
    os.close(write)
    return moved == 1


def _keeps_locks() -> bool:
    with Path("trial").open("wb") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
    return True


_HIDING = (
    _keeps_socket_buffers,
    _keeps_shared_memory,
    _keeps_zeros,
    _keeps_unnamed_file,
    _keeps_pages_in_pipe,
    _keeps_locks,
)
"""Ways to take memory that belongs to no process."""


def main(arguments: list[str]) -> None:
    """Print a JSON object of booleans by wall, after proving that the work folder works."""
    folder, port, datagrams, abstract, pid, token = arguments
    _through(lambda: _sends(int(datagrams), token))
    Path("trial").write_text(token)
    Path("trial").unlink()
    result = {
        "files": _through(lambda: _reads(f"{folder}/file", token)),
        "secrets": _through(lambda: _reads(f"{folder}/secret", token)),
        "network": _through(lambda: _connects(socket.AF_INET, ("127.0.0.1", int(port)))),
        "sockets": _through(lambda: _connects(socket.AF_UNIX, f"\0{abstract}"))
        or _through(lambda: _connects(socket.AF_UNIX, f"{folder}/socket")),
        "processes": _through(lambda: _reads(f"/proc/{pid}/environ", token)),
        "count": _multiplies(),
        "memory": any(_through(hides) for hides in _HIDING),
        "control": _through(lambda: _limits(int(pid))),
        "signals": _through(lambda: _signals(int(pid))),
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
