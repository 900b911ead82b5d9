"""A program in place of a transport code that tries to reach what it must not.

Arguments: mode, then those of the mode. It prints one line per success and needs the standard
library only, so it runs anywhere.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def read(*paths: str) -> None:
    for path in paths:
        try:
            if Path(path).is_dir():
                say(f"listed {path}: {sorted(p.name for p in Path(path).iterdir())}")
            else:
                Path(path).read_bytes()
                say(f"read {path}")
        except OSError:
            pass


def write(*paths: str) -> None:
    for path in paths:
        try:
            Path(path).write_text("mine")
            say(f"wrote {path}")
        except OSError:
            pass


def connect(*addresses: str) -> None:
    """Connect to ``tcp:PORT``, ``udp:PORT``, ``abstract:NAME`` or ``path:PATH``."""
    for address in addresses:
        kind, _, where = address.partition(":")
        try:
            if kind in {"tcp", "udp"}:
                number = socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM
                made = socket.socket(socket.AF_INET, number)
                made.connect(("127.0.0.1", int(where)))
            else:
                made = socket.socket(socket.AF_UNIX)
                made.connect(f"\0{where}" if kind == "abstract" else where)
            made.send(b"PING\r\n")
            say(f"reached {address}")
        except OSError:
            pass


def send_signals(*pids: str) -> None:
    for pid in pids:
        with suppress(OSError):
            os.kill(int(pid), signal.SIGTERM)
    with suppress(OSError):
        os.kill(-1, signal.SIGCONT)


def daemonise(times: int) -> None:
    """Leave the group, the session and the parent, with an empty environment and open output."""
    for _ in range(times):
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            argv = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"]
            os.execve(sys.executable, argv, {})
    say("left")


def eat(mebibytes: int) -> None:
    kept = []
    for _ in range(mebibytes // 16):
        kept.append(b"x" * (16 << 20))
        time.sleep(0.002)
    say("ate")


def share(mebibytes: int) -> None:
    """Map memory that has no file and belongs to two processes."""
    import mmap

    kept = []
    for _ in range(mebibytes // 16):
        piece = mmap.mmap(-1, 16 << 20)
        piece.write(b"x" * (16 << 20))
        kept.append(piece)
        time.sleep(0.002)
    say("shared")


def hide_memory(mebibytes: int) -> None:
    """Take memory that belongs to no process: a file without a name."""
    try:
        descriptor = os.memfd_create("hidden")
        for _ in range(mebibytes):
            os.write(descriptor, b"x" * (1 << 20))
        say("hidden")
    except OSError:
        pass


def bomb() -> None:
    while True:
        try:
            if os.fork() == 0:
                continue
        except OSError:
            time.sleep(0.01)


def chain(links: int) -> None:
    """Start processes that each fork and end at once, and leave them."""
    for _ in range(links):
        if os.fork() == 0:
            while True:
                with suppress(OSError):
                    if os.fork():
                        os._exit(0)


def scatter() -> None:
    """Fork twice without end, each time in a new session and without the parent."""
    while True:
        with suppress(OSError):
            if os.fork() == 0:
                os.setsid()
                if os.fork():
                    os._exit(0)


def spawn() -> None:
    """Start itself without end, by vfork where the C library uses it."""
    argv = [sys.executable, "-I", "-S", __file__, "spawn"]
    while True:
        with suppress(OSError):
            os.posix_spawn(sys.executable, argv, {})


def threads(number: int) -> None:
    import threading

    threading.stack_size(1 << 16)
    with suppress(RuntimeError):  # where the kernel allows no more
        for _ in range(number):
            threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    time.sleep(600)
    say("threaded")


def spin(processes: int) -> None:
    for _ in range(processes - 1):
        if os.fork() == 0:
            break
    while True:
        pass


def fill(mebibytes: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    with Path("large").open("wb") as file:
        for _ in range(mebibytes):
            file.write(b"x" * (1 << 20))
    say("filled")


def escape() -> None:
    """Try to get more namespaces, more privileges, and other processes' memory."""
    for command in (
        ["unshare", "-Ur", "true"],
        ["unshare", "-n", "true"],
        ["mount", "-t", "tmpfs", "x", "/tmp"],
    ):
        try:
            if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0:
                say(f"escaped by {command}")
        except OSError:
            pass


def environment() -> None:
    say(f"environment {sorted(os.environ)}")
    try:
        say(f"of the first process {Path('/proc/1/environ').read_bytes()!r}")
    except OSError:
        say("of the first process nothing")
    place = Path("/proc/self/fd")
    descriptors = sorted(p.name for p in place.iterdir()) if place.exists() else []
    # The last one is that of the listing itself.
    say(f"descriptors {descriptors[:3]} of {len(descriptors) - 1}")


def main(mode: str, *arguments: str) -> None:
    numbers = {"daemonise", "chain", "eat", "share", "hide_memory", "spin", "fill", "threads"}
    action = globals()[mode]
    action(*(int(a) for a in arguments) if mode in numbers else arguments)
    say("done")


if __name__ == "__main__":
    main(sys.argv[1], *sys.argv[2:])
