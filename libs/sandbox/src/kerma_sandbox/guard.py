"""The guard: a small single-threaded process that starts confined processes and outlives its user.

It forks a keeper for each process, since a fork takes a millisecond and a start of Python twenty.
When its user dies for any reason, the socket between them closes and everything is killed.

Messages on the socket (SOCK_SEQPACKET) are JSON objects: ``spawn`` (with three descriptors for the
standard streams) and ``signal`` come in; ``started``, ``usage``, ``gone`` and ``refused`` go out.
It uses only the standard library, so that it starts fast and has no threads when it forks. Without
``dataclasses`` and ``typing`` it starts in half the time and takes 5 MB instead of 7.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import signal
import socket
import sys
import time
from contextlib import suppress

from kerma_sandbox.keeper import KILL_SECONDS, adopt_orphans, keep
from kerma_sandbox.kernel import tree, users

TYPE_CHECKING = False  # as typing has it
if TYPE_CHECKING:
    from typing import Any

MAX_MESSAGE = 1 << 17
_STREAMS = 3
_SWEEP_SECONDS = 0.01


class _Kept:
    __slots__ = ("claimed", "control", "gone", "id", "pid")

    def __init__(
        self, number: int, pid: int, control: socket.socket, claimed: socket.socket | None
    ) -> None:
        self.id = number
        self.pid = pid
        self.control = control
        self.claimed = claimed
        self.gone = False

    def close(self) -> None:
        """Close its sockets; its user is free when the keeper's copy is closed too."""
        self.control.close()
        if self.claimed is not None:
            self.claimed.close()


class Guard:
    """The keepers of one user. ``sock`` leads to the user."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._selector = selectors.DefaultSelector()
        self._kept: dict[int, _Kept] = {}
        self._keepers: set[int] = set()

    def run(self) -> None:
        """Serve until the user and all its processes are gone."""
        self._selector.register(self._sock, selectors.EVENT_READ)
        alive = True
        while alive or self._kept:
            for key, _ in self._selector.select():
                if key.data is not None:
                    self._hear(key.data)
                elif not self._receive():
                    alive = False
                    self._selector.unregister(self._sock)
                    for kept in self._kept.values():
                        _signal(kept, signal.SIGKILL)
        # Keepers report the end of their processes before they end themselves.
        for keeper in self._keepers:
            with suppress(ChildProcessError):
                os.waitpid(keeper, 0)

    def _receive(self) -> bool:
        try:
            body, fds, _, _ = socket.recv_fds(self._sock, MAX_MESSAGE, _STREAMS)
        except OSError:
            return False
        if not body:
            return False
        message = json.loads(body)
        if message["op"] == "spawn":
            self._spawn(message, fds)
        elif (kept := self._kept.get(message["id"])) is not None:
            _signal(kept, message["signal"])
        return True

    def _spawn(self, order: dict[str, Any], fds: list[int]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        guard, claimed = os.getpid(), None
        try:
            if order["uid"] is not None:
                order["uid"], claimed = users.claim(order["uid"])
            pid = os.fork()
        except OSError as error:
            ours.close()
            if claimed is not None:
                claimed.close()
            self._report({"op": "refused", "id": order["id"], "reason": str(error)})
        else:
            if pid == 0:
                self._close_all(ours)
                keep(order, fds, theirs, guard)
            kept = _Kept(order["id"], pid, ours, claimed)
            self._kept[kept.id] = kept
            self._keepers.add(pid)
            self._selector.register(ours, selectors.EVENT_READ, kept)
        finally:
            theirs.close()
            for fd in fds:
                os.close(fd)

    def _close_all(self, ours: socket.socket) -> None:
        """Close the sockets of other keepers: holding them would hide that the guard died."""
        ours.close()
        self._sock.close()
        self._selector.close()
        for kept in self._kept.values():
            kept.close()

    def _hear(self, kept: _Kept) -> None:
        try:
            body = kept.control.recv(MAX_MESSAGE)
        except OSError:
            body = b""
        if body:
            message = json.loads(body)
            kept.gone = message["op"] in {"gone", "refused"}
            self._report({**message, "id": kept.id})
        if not body or kept.gone:
            self._forget(kept)

    def _forget(self, kept: _Kept) -> None:
        self._selector.unregister(kept.control)
        del self._kept[kept.id]
        if not kept.gone:
            self._end_strays(kept.pid)
        kept.close()
        if not kept.gone:
            self._report({"op": "gone", "id": kept.id, "code": -signal.SIGKILL, "cpu_seconds": 0.0})

    def _end_strays(self, keeper: int) -> None:
        """Kill the processes that a killed keeper left to the guard."""
        # The socket closes before the children get another parent: wait for the keeper to end.
        with suppress(ChildProcessError):
            os.waitpid(keeper, 0)
        until = time.monotonic() + KILL_SECONDS
        while time.monotonic() < until:
            if self._keepers.issuperset(tree.children(os.getpid())):
                return
            tree.kill_below(os.getpid(), spare=self._keepers)
            time.sleep(_SWEEP_SECONDS)

    def _report(self, message: dict[str, Any]) -> None:
        with suppress(OSError):
            self._sock.send(json.dumps(message).encode())


def _signal(kept: _Kept, signum: int) -> None:
    with suppress(OSError):
        kept.control.send(str(signum).encode())


def main(arguments: list[str]) -> None:
    """Run a guard. ``arguments``: the descriptor of the socket."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    # the kernel reaps keepers that end; a keeper waits for its own children
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # Pages that garbage collection does not touch stay shared with the keepers.
    gc.freeze()
    adopt_orphans()
    sock = socket.socket(fileno=int(arguments[0]))
    sock.set_inheritable(False)
    Guard(sock).run()


if __name__ == "__main__":
    main(sys.argv[1:])
