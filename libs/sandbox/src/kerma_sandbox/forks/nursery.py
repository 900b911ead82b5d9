"""A process from which each piece of untrusted work gets a fork of its own.

A nursery has imported what the work needs and reads no untrusted input, so a fork of it is clean and
takes milliseconds, where a new interpreter takes half a second of processor time. Whatever an input
does to the process that reads it, no other input is affected.

A nursery offers one or more kinds of work. Forks of one kind have the same limits and duties; forks
of all kinds share the memory of the nursery.

stdin is a SOCK_SEQPACKET socket to the user. Orders come in: ``FORK id kind`` with the socket of
the fork attached, ``LOWER id``, ``KILL id``. ``READY`` and ``END id status`` go out. On the socket of a
fork, requests and answers alternate. Each has a head, which is short, and a body, and follows their
two lengths (``LENGTHS``). A fork ends when the user closes its socket, the nursery with all forks
when the user closes stdin. ``kerma_sandbox.forks.children`` is the user's side.
"""

from __future__ import annotations

import gc
import os
import resource
import selectors
import signal
import socket
import struct
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from kerma_sandbox.files.places import SYSTEM, interpreter
from kerma_sandbox.kernel import landlock, seccomp

CONTROL = 0
ORDER_SIZE = 64
LENGTHS = struct.Struct(">QQ")
"""Lengths of head and body, before either."""
OUT_OF_MEMORY = 3
"""Exit status of a fork that is too short of memory to answer."""

_FRAMES_SHOWN = 8
_FIRST_FREE = 3
_CHUNK = 1 << 20


Message = tuple[bytes, bytes]
"""Head and body of a request or an answer."""

Answer = Callable[[bytes, bytes], Message]
"""Answers a request; MemoryError becomes the exit status ``OUT_OF_MEMORY``."""


@dataclass(frozen=True, slots=True)
class ForkLimits:
    """Limits of one fork; sizes in bytes. None for no limit.

    ``data`` includes the nursery's own. With a ``file_size`` of 0, it can write no file.
    """

    cpu_seconds: int | None = None
    data: int | None = None
    address_space: int | None = None
    file_size: int = 0
    open_files: int = 32


@dataclass(frozen=True, slots=True)
class Walls:
    """What isolates a fork, beyond the nursery's own confinement.

    A fork can read code and what is below ``read``, write below ``write``, and neither start nor
    signal a process. Its own Landlock domain also keeps it from tracing the others.

    ``rules`` is a descriptor, None without Landlock; ``code_filter`` is empty without a filter.
    """

    rules: int | None
    code_filter: bytes

    @classmethod
    def make(cls, *, read: Sequence[str] = (), write: Sequence[str] = ()) -> Walls:
        """Make the walls that this kernel offers. Raises OSError."""
        readable = [*SYSTEM, *map(str, interpreter()), *read]
        version = landlock.abi()
        rules = landlock.ruleset(version, read=readable, write=write) if version else None
        return cls(rules, seccomp.program(alone=True))

    def close_in(self) -> None:
        """Isolate this process, for good. Raises OSError."""
        landlock.forbid_new_privileges()
        if self.rules is not None:
            landlock.restrict_to(self.rules)
            os.close(self.rules)
        if self.code_filter:
            seccomp.apply(self.code_filter)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of work. Each fork calls ``begin`` before its first request.

    With ``walls``, a fork is isolated before that; otherwise ``begin`` or the answer to a first
    request calls ``wall_off``. To make walls takes as long as a small piece of work, so forks with
    the same walls share them.
    """

    begin: Callable[[], Answer]
    limits: ForkLimits
    walls: Walls | None = None


class Nursery:
    """Forks, and reports how forks ended."""

    def __init__(self, control: socket.socket, kinds: Mapping[str, Kind]) -> None:
        self._control = control
        self._kinds = kinds
        self._selector = selectors.DefaultSelector()
        self._children: dict[str, int] = {}

    def run(self) -> None:
        """Follow orders until the user closes the socket."""
        self._selector.register(self._control, selectors.EVENT_READ, None)
        try:
            while True:
                for key, _ in self._selector.select():
                    if key.data is not None:
                        self._reap(key.data, key.fd)
                    elif not self._follow():
                        return
        finally:
            for pid in self._children.values():
                os.kill(pid, signal.SIGKILL)

    def _follow(self) -> bool:
        message, files, _, _ = socket.recv_fds(self._control, ORDER_SIZE, 1)
        if not message:
            return False
        order, name, *more = message.decode().split(" ")
        if order == "FORK":
            self._fork(name, self._kinds[more[0]], files[0])
        elif (pid := self._children.get(name)) is not None:
            if order == "LOWER":
                os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
            elif order == "KILL":
                os.kill(pid, signal.SIGKILL)
        return True

    def _fork(self, name: str, kind: Kind, connection: int) -> None:
        pid = os.fork()
        if pid == 0:
            _live(connection, kind)
        os.close(connection)
        self._children[name] = pid
        self._selector.register(os.pidfd_open(pid), selectors.EVENT_READ, name)

    def _reap(self, name: str, handle: int) -> None:
        self._selector.unregister(handle)
        os.close(handle)
        _, status = os.waitpid(self._children.pop(name), 0)
        # the user is gone and needs no report
        with suppress(OSError):
            self._control.send(f"END {name} {os.waitstatus_to_exitcode(status)}".encode())


def serve(kinds: Mapping[str, Kind]) -> None:
    """Be a nursery for these kinds of work until the user closes stdin."""
    interpreter()  # cached for all forks
    gc.collect()
    gc.freeze()  # so that the garbage collector of a fork leaves shared pages alone
    with socket.socket(fileno=CONTROL) as control:
        control.send(b"READY")
        Nursery(control, kinds).run()


def wall_off(*, read: Sequence[str] = (), write: Sequence[str] = ()) -> None:
    """Isolate this fork by walls of its own; see ``Walls``. Raises OSError."""
    Walls.make(read=read, write=write).close_in()


def _live(connection: int, kind: Kind) -> NoReturn:
    """Answer requests in this process until the user closes the socket, then exit with status 0."""
    status = 1
    try:
        if kind.walls is not None:
            kind.walls.close_in()
        _keep_only(connection)
        _limit(kind.limits)
        answer = kind.begin()
        with socket.socket(fileno=connection) as own:
            while True:
                _write(own, answer(*_read(own)))
    except MemoryError:
        status = OUT_OF_MEMORY
    except ConnectionError:
        status = 0  # the user has closed the socket
    except BaseException:
        traceback.print_exc(limit=-_FRAMES_SHOWN)
    finally:
        os._exit(status)


def _keep_only(connection: int) -> None:
    """Close every descriptor except stdout, stderr and the connection."""
    os.close(CONTROL)
    os.closerange(_FIRST_FREE, connection)
    os.closerange(connection + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _limit(limits: ForkLimits) -> None:
    for what, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, limits.file_size),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_DATA, limits.data),
        (resource.RLIMIT_AS, limits.address_space),
    ):
        if value is not None:
            resource.setrlimit(what, (value, value))
    if limits.cpu_seconds is not None:
        # the first limit ends it with SIGXCPU, which names the reason
        resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 1))


def _read(connection: socket.socket) -> Message:
    """Return the next request. Raises ConnectionError when the user has closed the socket."""
    head, body = LENGTHS.unpack(_receive(connection, LENGTHS.size))
    return _receive(connection, head), _receive(connection, body)


def _receive(connection: socket.socket, size: int) -> bytes:
    parts = []
    while size:
        part = connection.recv(min(size, _CHUNK))
        if not part:
            raise ConnectionError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _write(connection: socket.socket, answer: Message) -> None:
    head, body = answer
    connection.sendall(LENGTHS.pack(len(head), len(body)) + head)
    connection.sendall(body)
