"""Run inside a sandbox: tries what it must prevent and prints, by wall, what got through.

Arguments: folder with canary files, TCP port, abstract socket, process id, token. One argument
more than a token is an error, so that the trial can't pass by accident.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path


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
    # the other side looks whether it arrived: the number may be another process's here
    os.kill(pid, signal.SIGTERM)
    return False


def main(arguments: list[str]) -> None:
    """Print one JSON object of booleans by wall; first show that the work folder can be used."""
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
        "signals": _through(lambda: _signals(int(pid))),
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
