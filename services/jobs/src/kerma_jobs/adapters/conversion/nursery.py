"""The process from which every conversion is forked.

It has imported the engines and reads no user's input, so a fork of it is clean and takes a
millisecond, where a new interpreter takes half a second of processor time. Each conversion gets its
own fork: whatever an input does to the process that reads it, no other input is affected.

stdin is a SOCK_SEQPACKET socket to the service. Orders come in: ``FORK id`` with the socket of the
conversion attached, ``LOWER id``, ``KILL id``. ``END id status`` goes out. The process and all its
forks end when the service closes the socket.
"""

from __future__ import annotations

import gc
import os
import resource
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NoReturn

import orjson

from kerma_jobs.adapters.conversion import work
from kerma_sandbox.files.places import SYSTEM, interpreter
from kerma_sandbox.kernel import landlock, seccomp

OPEN_FILES = 32
FRAMES_TOLD = 8
CONTROL = 0
FIRST_FREE = 3
ORDER_SIZE = 64

_BOX = {"geometryType": "BoxGeometry", "parameters": {"width": 2, "height": 2, "depth": 2}}
_WORLD = {"geometryType": "BoxGeometry", "parameters": {"width": 9, "height": 9, "depth": 9}}
_MESH = {
    "geometryType": "Mesh",
    "parameters": {"width": 2, "height": 2, "depth": 2, "zSegments": 10},
}
REHEARSAL = {
    "beam": {"particle": {"id": 2}, "energy": 150, "numberOfParticles": 10},
    "figureManager": {"figures": [{"uuid": "box", "geometryData": _BOX}]},
    "zoneManager": {
        "zones": [
            {
                "uuid": "zone",
                "materialUuid": "water",
                "unionOperations": [[{"mode": "union", "objectUuid": "box"}]],
            }
        ],
        "worldZone": {"uuid": "world", "materialUuid": "water", "geometryData": _WORLD},
    },
    "materialManager": {"materials": [{"uuid": "water", "icru": 276}]},
    "detectorManager": {"detectors": [{"uuid": "mesh", "name": "mesh", "geometryData": _MESH}]},
    "scoringManager": {
        "outputs": [
            {
                "uuid": "dose",
                "name": "dose",
                "detectorUuid": "mesh",
                "quantities": [{"name": "dose", "keyword": "Dose"}],
            }
        ]
    },
}
"""A small project that exercises all steps: reading, geometry, beam, scoring, writing."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one conversion: seconds of processor time, bytes of memory with the nursery's."""

    cpu_seconds: int
    memory: int


class Nursery:
    """Forks conversions and reports how they ended."""

    def __init__(self, control: socket.socket, available: work.Engines, limits: Limits) -> None:
        self._control = control
        self._available = available
        self._limits = limits
        self._selector = selectors.DefaultSelector()
        self._children: dict[str, int] = {}

    def run(self) -> None:
        """Follow orders until the service closes the socket."""
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
        order, _, name = message.decode().partition(" ")
        if order == "FORK":
            self._fork(name, files[0])
        elif (pid := self._children.get(name)) is not None:
            if order == "LOWER":
                os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
            elif order == "KILL":
                os.kill(pid, signal.SIGKILL)
        return True

    def _fork(self, name: str, connection: int) -> None:
        pid = os.fork()
        if pid == 0:
            _live(connection, self._available, self._limits)
        os.close(connection)
        self._children[name] = pid
        self._selector.register(os.pidfd_open(pid), selectors.EVENT_READ, name)

    def _reap(self, name: str, handle: int) -> None:
        self._selector.unregister(handle)
        os.close(handle)
        _, status = os.waitpid(self._children.pop(name), 0)
        # the service is gone and needs no report
        with suppress(OSError):
            self._control.send(f"END {name} {os.waitstatus_to_exitcode(status)}".encode())


def _live(connection: int, available: work.Engines, limits: Limits) -> NoReturn:
    """Convert one request in this process, then exit with status 0."""
    status = 1
    try:
        _keep_only(connection)
        _limit(limits)
        _wall_off()
        with _memory_kept():
            # touch the pages that a conversion writes to before a request waits for it
            for engine in available:
                _rehearse(engine, available)
        with socket.socket(fileno=connection) as own:
            own.sendall(work.READY)
            if request := _read(own):  # empty when the service does not need it any more
                _write(own, work.answer(request, available))
        status = 0
    except MemoryError:
        status = work.OUT_OF_MEMORY
    except ConnectionError:
        pass  # the service does not need the answer any more
    except BaseException:
        traceback.print_exc(limit=-FRAMES_TOLD)
    finally:
        os._exit(status)


def _keep_only(connection: int) -> None:
    """Close every descriptor except stdout, stderr and the connection."""
    os.close(CONTROL)
    os.closerange(FIRST_FREE, connection)
    os.closerange(connection + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _limit(limits: Limits) -> None:
    for what, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_DATA, limits.memory),
    ):
        resource.setrlimit(what, (value, value))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 1))


def _wall_off() -> None:
    """Isolate this process from the others of the nursery, beyond the nursery's own confinement.

    It can read code, and can neither start nor signal a process. Its own Landlock domain also keeps
    it from tracing the others.
    """
    landlock.forbid_new_privileges()
    if version := landlock.abi():
        code = [*SYSTEM, *map(str, interpreter())]
        landlock.restrict(version, read=code, write=(), devices=(), network=False)
    if code_filter := seccomp.program(alone=True):
        seccomp.apply(code_filter)


@contextmanager
def _memory_kept() -> Iterator[None]:
    """Keep the garbage collector from writing to pages that are shared with other conversions."""
    gc.disable()
    yield
    gc.enable()


def _rehearse(engine: str, available: work.Engines) -> None:
    order = {"engine": engine, "kind": "project", "stands_in_for": ""}
    work.answer(work.order_line(order) + orjson.dumps(REHEARSAL), available)


def _read(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(1 << 20):
        parts.append(part)
    return b"".join(parts)


def _write(connection: socket.socket, answer: bytes) -> None:
    """Send the answer after its length, by which the service knows that it is complete."""
    connection.sendall(len(answer).to_bytes(work.LENGTH_SIZE, "big"))
    connection.sendall(answer)


def leave_a_core_free() -> None:
    """Leave one core to the service, where there are several.

    Priority alone does not keep a conversion from a core for the first milliseconds in which a
    request needs it.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, cores[1:])


def main() -> None:
    """Run the nursery. Arguments: the engines' data and the limits, as JSON."""
    told = orjson.loads(sys.argv[1])
    leave_a_core_free()
    available = work.engines(told["geant4_data"])
    for engine in available:
        _rehearse(engine, available)
    gc.collect()
    gc.freeze()  # so that the garbage collector of a fork leaves shared pages alone
    limits = Limits(told["cpu_seconds"], told["memory"])
    with socket.socket(fileno=CONTROL) as control:
        control.send(b"READY")
        Nursery(control, available, limits).run()


if __name__ == "__main__":
    main()
