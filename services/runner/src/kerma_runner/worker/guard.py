"""The guard: a small single-threaded process that starts engines for a worker and outlives it.

It forks each engine into a session of its own under resource limits, adopts whatever the engine
leaves behind, and reports an engine as gone only when none of its processes is left. When the
worker dies, in whatever way, the socket to it closes and every engine is killed. When the guard
itself is killed, the kernel kills the engines (PR_SET_PDEATHSIG).

Messages on the socket (SOCK_SEQPACKET) are JSON objects: ``spawn`` (with the write ends of the
engine's stdout and stderr) and ``signal`` come in; ``started``, ``refused`` and ``gone`` go out.
Only the standard library, so that it starts in milliseconds and holds no threads at a fork.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import selectors
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MARKER = "KERMA_ENGINE"
"""Environment variable by which processes that left the engine's group are still known."""

MAX_MESSAGE = 1 << 17
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_SWEEP_SECONDS = 0.05
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(slots=True)
class _Engine:
    id: int
    pid: int
    marker: str
    status: int | None = None
    cpu_seconds: float = 0.0


class Guard:
    """The engines of one worker. ``sock`` leads to it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._engines: dict[int, _Engine] = {}
        self._wake, wake_write = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wake_write, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write)

    def run(self) -> None:
        """Serve until the worker is gone and every engine with it."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._sock, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            alive = True
            while alive or self._engines:
                dying = any(e.status is not None for e in self._engines.values())
                ready = {key.fd for key, _ in selector.select(_SWEEP_SECONDS if dying else None)}
                if self._wake in ready:
                    with suppress(BlockingIOError):
                        os.read(self._wake, 512)
                if alive and self._sock.fileno() in ready and not self._receive():
                    alive = False
                    selector.unregister(self._sock)
                    for engine in self._engines.values():
                        _kill_group(engine.pid, signal.SIGKILL)
                self._reap()
                self._sweep()

    def _receive(self) -> bool:
        try:
            body, fds, _, _ = socket.recv_fds(self._sock, MAX_MESSAGE, 2)
        except OSError:
            return False
        if not body:
            return False
        message = json.loads(body)
        if message["op"] == "spawn":
            self._spawn(message, fds)
        else:
            engine = self._engines.get(message["id"])
            if engine is not None:
                _kill_group(engine.pid, message["signal"])
        return True

    def _spawn(self, message: dict[str, Any], fds: list[int]) -> None:
        marker = f"{os.getpid()}-{message['id']}"
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            self._send({"op": "refused", "id": message["id"], "reason": str(error)})
            return
        finally:
            if os.getpid() == parent:
                for fd in fds:
                    os.close(fd)
        if pid == 0:
            _become_engine(message, fds, marker, parent)
        self._engines[message["id"]] = _Engine(message["id"], pid, marker)
        self._send({"op": "started", "id": message["id"], "pid": pid})

    def _reap(self) -> None:
        by_pid = {engine.pid: engine for engine in self._engines.values()}
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            engine = by_pid.get(pid)
            if engine is not None:
                engine.status = os.waitstatus_to_exitcode(status)
                engine.cpu_seconds = usage.ru_utime + usage.ru_stime

    def _sweep(self) -> None:
        ended = [engine for engine in self._engines.values() if engine.status is not None]
        if not ended:
            return
        living = {engine.pid for engine in self._engines.values() if engine.status is None}
        strays = [pid for pid in _children() if pid not in living]
        markers = {pid: _marker(pid) for pid in strays}
        for engine in ended:
            left = [pid for pid, marker in markers.items() if marker == engine.marker]
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not _kill_group(engine.pid, signal.SIGKILL) and not left:
                del self._engines[engine.id]
                self._send(
                    {
                        "op": "gone",
                        "id": engine.id,
                        "code": engine.status,
                        "cpu_seconds": engine.cpu_seconds,
                    }
                )

    def _send(self, message: dict[str, Any]) -> None:
        with suppress(OSError):
            self._sock.send(json.dumps(message).encode())


def _kill_group(pgid: int, signum: int) -> bool:
    """Whether the group still had a member."""
    try:
        os.killpg(pgid, signum)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _children() -> list[int]:
    me = os.getpid()
    return [int(pid) for pid in Path(f"/proc/{me}/task/{me}/children").read_text().split()]


def _marker(pid: int) -> str | None:
    try:
        environ = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    prefix = f"{MARKER}=".encode()
    found = (item for item in environ.split(b"\0") if item.startswith(prefix))
    return next(found, b"").removeprefix(prefix).decode() or None


def _become_engine(message: dict[str, Any], fds: list[int], marker: str, parent: int) -> None:
    """In the child: never returns."""
    try:
        os.setsid()
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(125)
        signal.set_wakeup_fd(-1)
        for signum in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
            signal.signal(signum, signal.SIG_DFL)
        _redirect(fds)
        for name, value in message["limits"].items():
            limit = getattr(resource, f"RLIMIT_{name}")
            resource.setrlimit(limit, (value, value))
        os.nice(message["nice"])
        os.chdir(message["cwd"])
        argv: list[str] = message["argv"]
        env = {**message["env"], MARKER: marker}
        os.execvpe(argv[0], argv, env)  # noqa: S606 - a list, no shell
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
        os._exit(127)


def _redirect(fds: list[int]) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    for target, fd in enumerate((null, *fds)):
        os.dup2(fd, target)
    os.closerange(3, 65536)


def main(arguments: list[str]) -> None:
    """``arguments``: the descriptor of the socket."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    sock = socket.socket(fileno=int(arguments[0]))
    sock.set_inheritable(False)
    Guard(sock).run()


if __name__ == "__main__":
    main(sys.argv[1:])
