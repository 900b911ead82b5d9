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
from collections.abc import Callable
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


def leave() -> None:
    """Leave the session where that is allowed, else the process group."""
    try:
        os.setsid()
    except PermissionError:
        os.setpgid(0, 0)


def daemonise(times: int) -> None:
    """Leave the group, the session and the parent, with an empty environment and open output."""
    for _ in range(times):
        if os.fork() == 0:
            leave()
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


def fill_pipes(processes: int) -> None:
    """Fill as many pipes as possible and say how many MiB they hold together."""
    told, tell = os.pipe()
    for _ in range(processes):
        if os.fork() == 0:
            held = 0
            with suppress(OSError):  # when no more files can be opened
                while True:
                    ends = os.pipe()
                    os.set_blocking(ends[1], False)
                    with suppress(BlockingIOError):
                        while True:
                            held += os.write(ends[1], b"x" * 4096)
            os.write(tell, f"{held}\n".encode())
            signal.pause()
    with os.fdopen(told) as lines:
        say(f"held {sum(int(next(lines)) for _ in range(processes)) >> 20}")


def map_much(mappings: int) -> None:
    """Take many mappings, which have few pages."""
    import ctypes

    library, page = ctypes.CDLL(None), 1 << 12
    library.mmap.restype = ctypes.c_void_p
    size = ctypes.c_size_t(2 * mappings * page)
    start = library.mmap(None, size, 3, 0x22, -1, ctypes.c_long(0))
    for number in range(mappings):
        library.mprotect(ctypes.c_void_p(start + 2 * number * page), ctypes.c_size_t(page), 1)
    time.sleep(30)
    say("mapped")


def touch_far(gibibytes: int) -> None:
    """Read one byte of every 2 MiB: there is a page table for each, and no page."""
    import ctypes

    library = ctypes.CDLL(None)
    library.mmap.restype = ctypes.c_void_p
    start = library.mmap(None, ctypes.c_size_t(gibibytes << 30), 1, 0x4022, -1, ctypes.c_long(0))
    for place in range(0, gibibytes << 30, 2 << 20):
        ctypes.string_at(start + place, 1)
    time.sleep(30)
    say("touched")


def hide() -> None:
    """Forbid the parent to look at this process (PR_SET_DUMPABLE, prctl(2))."""
    import ctypes

    if ctypes.CDLL(None).prctl(4, 0, 0, 0, 0) == 0:
        say("hid")


def raise_limits() -> None:
    import resource

    for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_MEMLOCK):
        most = resource.getrlimit(limit)[1]
        with suppress(OSError, ValueError):
            resource.setrlimit(limit, (most + 1, most + 1))
            say(f"raised {limit}")


def preallocate() -> None:
    """Take disk faster than anybody can look, and events of asynchronous input and output."""
    import ctypes

    library, io_setup = ctypes.CDLL(None), 206
    with Path("large").open("wb") as file:
        if library.fallocate(file.fileno(), 0, ctypes.c_long(0), ctypes.c_long(1 << 30)) == 0:
            say("allocated")
    if library.syscall(io_setup, 10, ctypes.byref(ctypes.c_long(0))) == 0:
        say("set up")
    with Path("small").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 1 << 20)


def hold(how: str) -> None:
    """Keep 16 MiB of disk in a file without a name."""
    import ctypes
    import shutil

    size, waiting = 16 << 20, None
    if how == "orphan":
        if os.fork():
            signal.pause()
        leave()
        if os.fork():
            os._exit(0)
    if how == "executed":
        shutil.copy("/bin/sleep", "held")
        Path("held").chmod(0o700)
    with Path("held").open("ab") as file:
        file.write(bytes(size))
    handle = os.open("held", os.O_RDONLY)
    if how == "mapped":
        library = ctypes.CDLL(None)
        library.mmap(None, ctypes.c_size_t(size), 1, 2, handle, ctypes.c_long(0))
    if how in {"mapped", "executed"}:
        os.close(handle)
    if how == "executed":
        waiting = subprocess.Popen([str(Path.cwd() / "held"), "60"])
    Path("held").unlink()
    say("holds")
    signal.pause()
    del waiting


def control(stranger: str, shared: str, semaphores: str) -> None:
    """Change limits and priority of another process, remove IPC objects, hold up who opens a file."""
    import ctypes
    import fcntl
    import resource

    pid, io_priority_set, remove = int(stranger), 251, 0
    library = ctypes.CDLL(None)
    Path("leased").write_text("mine")
    ways: dict[str, Callable[[], object]] = {
        "limit": lambda: resource.prlimit(pid, resource.RLIMIT_CPU, (1, 1)),
        "processors": lambda: os.sched_setaffinity(pid, os.sched_getaffinity(0)),
        "scheduler": lambda: os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0)),
        "priority": lambda: os.setpriority(os.PRIO_PROCESS, pid, 19),
        "input": lambda: library.syscall(io_priority_set, 1, pid, 3 << 13),
        "memory": lambda: library.shmctl(int(shared), remove, None),
        "semaphores": lambda: library.semctl(int(semaphores), 0, remove),
        "lease": lambda: fcntl.fcntl(os.open("leased", os.O_RDONLY), fcntl.F_SETLEASE, 0),
    }
    for name, way in ways.items():
        with suppress(OSError):
            if way() != -1:
                say(f"changed {name}")
    if (child := os.fork()) == 0:  # the leader of a group may make no session
        with suppress(OSError):
            os.setsid()
            say("has a session of its own")
        os._exit(0)
    os.waitpid(child, 0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
    os.nice(1)


def die(number: int) -> None:
    os.kill(os.getpid(), number)


def rank(wish: str = "1000") -> None:
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(wish)
    say(f"score {Path('/proc/self/oom_score_adj').read_text().strip()}")


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
    """Fork twice without end, each time in a new group and without the parent."""
    while True:
        with suppress(OSError):
            if os.fork() == 0:
                leave()
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
    numbers = {
        "daemonise",
        "chain",
        "die",
        "eat",
        "fill_pipes",
        "map_much",
        "touch_far",
        "spin",
        "fill",
        "threads",
    }
    action = globals()[mode]
    action(*(int(a) for a in arguments) if mode in numbers else arguments)
    say("done")


if __name__ == "__main__":
    main(sys.argv[1], *sys.argv[2:])
