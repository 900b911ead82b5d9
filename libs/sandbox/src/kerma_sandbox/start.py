"""Starts a guard; and one confined process from synchronous code."""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from kerma_sandbox.confinement import Exit
from kerma_sandbox.files.usage import usage
from kerma_sandbox.kernel import tree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kerma_sandbox.confinement import Confinement
    from kerma_sandbox.sandbox import Sandbox

_SOURCES = str(Path(__file__).parents[1])
_CODE = "import sys; sys.path.insert(0, sys.argv[1]); from kerma_sandbox.guard import main; main(sys.argv[2:])"
_STOP_SECONDS = 30.0
_LOOK_SECONDS = 0.1
_CHUNK = 1 << 14
_BUBBLEWRAP_FAULT = re.compile(rb"bwrap: (?:execvp .*: )?(.*)")
_MAX_MESSAGE = 1 << 17


@dataclass(frozen=True, slots=True)
class Finished:
    """The kept output of a process, and how it ended.

    ``late``, ``verbose`` and ``full`` say that it was killed for its time, its output or the size of
    its work folder.
    """

    output: bytes
    ended: Exit
    late: bool = False
    verbose: bool = False
    full: bool = False


@dataclass(frozen=True, slots=True)
class Room:
    """What a work folder may take: bytes of disk, deleted files included, and number of files."""

    size: int
    files: int


class _Watch:
    """Looks at a work folder in a thread, and kills the process when it exceeds its room."""

    def __init__(self, guard: socket.socket, pid: int, work: Path, room: Room | None) -> None:
        self._guard, self._pid, self._work, self._room = guard, pid, work, room
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="work folder")
        self.full = False

    def __enter__(self) -> None:
        if self._room is not None:
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._room is not None:
            self._thread.join()

    def _look(self) -> None:
        while self._room is not None and not self._ended.wait(_LOOK_SECONDS):
            found = usage(self._work, self._room.files, tree.descendants(self._pid))
            if found.size > self._room.size or found.entries > self._room.files:
                self.full = True
                _kill(self._guard)
                return


def start_guard() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """Start a guard with an empty environment; return it with its socket. Closing that ends it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with theirs:
            # without site packages it starts in a third of the time
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _CODE, _SOURCES, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={},
                cwd="/",
                start_new_session=True,
            )
    except BaseException:
        ours.close()
        raise
    return ours, process


def run(
    sandbox: Sandbox,
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    confinement: Confinement,
    seconds: float,
    most_output: int,
    room: Room | None = None,
) -> Finished:
    """Run a process until it ends and nothing of it is left, stdout and stderr together.

    It is killed after ``seconds``, when it prints more than ``most_output`` bytes or exceeds
    ``room``. Raises OSError when it can't be started.
    """
    order = sandbox.order(argv, env, confinement)
    message = json.dumps({"op": "spawn", "id": 0, **order}).encode()
    with ExitStack() as stack:
        ours, process = start_guard()
        stack.callback(_end, process)
        stack.enter_context(ours)
        read, write = os.pipe()
        pipe = stack.enter_context(os.fdopen(read, "rb", 0))
        null = os.open(os.devnull, os.O_RDONLY)
        try:
            socket.send_fds(ours, [message], [null, write, write])
        finally:
            os.close(null)
            os.close(write)
        watch = _Watch(ours, process.pid, confinement.work, room)
        with watch:
            finished = _listen(ours, pipe, time.monotonic() + seconds, most_output)
        finished = replace(finished, full=watch.full)
    fault = _BUBBLEWRAP_FAULT.match(finished.output)
    if order["contained"] and finished.ended.code == 1 and fault is not None:
        raise OSError(fault[1].decode(errors="replace"))
    return finished


def _listen(ours: socket.socket, pipe: IO[bytes], until: float, most: int) -> Finished:
    kept, late, verbose = bytearray(), False, False
    ended: Exit | None = None
    with selectors.DefaultSelector() as selector:
        selector.register(ours, selectors.EVENT_READ)
        selector.register(pipe, selectors.EVENT_READ)
        while ended is None or pipe in {key.fileobj for key in selector.get_map().values()}:
            ready = {key.fileobj for key, _ in selector.select(max(0.0, until - time.monotonic()))}
            if not ready:
                if ended is not None or late:
                    break
                late, until = True, time.monotonic() + _STOP_SECONDS
                _kill(ours)
            if pipe in ready:
                chunk = os.read(pipe.fileno(), _CHUNK)
                if not chunk:
                    selector.unregister(pipe)
                kept += chunk
                if len(kept) > most and not verbose:
                    verbose = True
                    _kill(ours)
                    selector.unregister(pipe)
            if ours in ready:
                ended = _exit(ours)
    if ended is None:
        raise OSError("its guard does not answer")
    return Finished(bytes(kept[:most]), ended, late, verbose)


def _exit(ours: socket.socket) -> Exit | None:
    message: dict[str, Any] = json.loads(ours.recv(_MAX_MESSAGE) or b'{"op": "lost"}')
    match message["op"]:
        case "gone":
            return Exit.from_message(message)
        case "refused":
            raise OSError(message["reason"])
        case "lost":
            raise OSError("its guard was killed")
    return None


def _kill(ours: socket.socket) -> None:
    with suppress(OSError):
        ours.send(json.dumps({"op": "signal", "id": 0, "signal": signal.SIGKILL}).encode())


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
