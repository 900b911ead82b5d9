"""Run inside a sandbox: try everything it must prevent and print, by wall, what succeeded.

Arguments: directory with canary files, TCP port, abstract socket, process id, token. An argument
after the token is an error, so that the trial can't pass by accident.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

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


def _signals(pid: int) -> bool:
    # The other side checks that it arrived: here the number may be another process's.
    os.kill(pid, signal.SIGTERM)
    return False


def _multiplies() -> bool:
    """Return whether the kernel neither limits the number of processes nor ends all at once."""
    if os.getppid() == 1:
        return False  # in a namespace of its own, which ends with its first process
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


def main(arguments: list[str]) -> None:
    """Print a JSON object of booleans by wall, after proving that the work folder works."""
    folder, port, abstract, pid, token = arguments
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
        "signals": _through(lambda: _signals(int(pid))),
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
