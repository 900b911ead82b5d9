"""Memory that the kernel keeps for the mappings of processes (``/proc/PID/maps``, proc(5)).

A process may have 65 530 mappings. For each, the kernel keeps a structure of about 200 bytes and
one of 64 bytes per generation of processes that have inherited the mapping, so a chain of forks
takes gigabytes while its resident memory is near zero.
"""

from __future__ import annotations

import os
import time

MAPPING_BYTES = 1 << 12
"""What one mapping counts: its structures after as many forks as a task has processes."""

_MOST = 65_530
"""Mappings of one process (``vm.max_map_count``)."""
_LOOK_SECONDS = 1.0
_REST = 20.0
"""Pause between two counts, in multiples of how long the last one took."""
_CHUNK = 1 << 16


class Mappings:
    """A count of mappings that is renewed once a second, since it costs more than other figures."""

    def __init__(self) -> None:
        self._memory = 0
        self._next = time.monotonic() + _LOOK_SECONDS

    def memory(self, pids: list[int], most: float) -> int:
        """Return the bytes that mappings of ``pids`` count; stop counting above ``most``."""
        began = time.monotonic()
        if began >= self._next:
            self._memory = 0
            for pid in pids:
                self._memory += MAPPING_BYTES * _count(pid)
                if self._memory > most:
                    break
            ended = time.monotonic()
            self._next = ended + max(_LOOK_SECONDS, _REST * (ended - began))
        return self._memory


def _count(pid: int) -> int:
    """Return the mappings of a process; 0 when it has ended.

    A program that its user may not read hides them, so it counts as much as it could have.
    """
    found = 0
    try:
        descriptor = os.open(f"/proc/{pid}/maps", os.O_RDONLY | os.O_CLOEXEC)
        try:
            while part := os.read(descriptor, _CHUNK):
                found += part.count(b"\n")
        finally:
            os.close(descriptor)
    except PermissionError:
        return _MOST
    except OSError:
        return 0
    return found
