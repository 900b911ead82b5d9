"""The sandbox in force on a machine, and how it starts a confined process."""

from __future__ import annotations

import stat
from base64 import b64encode
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerma_sandbox import bubblewrap
from kerma_sandbox.files.places import DEVICES, PROCESS_FILES, SYSTEM, exposed, interpreter
from kerma_sandbox.kernel import seccomp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kerma_sandbox.confinement import Confinement, Limits

_CPU_GRACE_SECONDS = 5
_HEADROOM = 4096
"""Threads that a shared user may start elsewhere while a confined process runs."""


class Level(StrEnum):
    """How processes are kept from the rest of the machine, strongest first."""

    NAMESPACES = "namespaces"
    LANDLOCK = "landlock"
    USER = "user"
    NONE = "none"


class Wall(StrEnum):
    """What a process may be kept from; each is tried when the sandbox is measured."""

    FILES = "files"
    """Every file that it does not need."""
    SECRETS = "secrets"
    """Files that only Kerma's user may read."""
    NETWORK = "network"
    """TCP and UDP on the loopback interface, and with it every other network."""
    SOCKETS = "sockets"
    """Unix sockets, by path and abstract."""
    PROCESSES = "processes"
    """The environment of other processes."""
    SIGNALS = "signals"
    """Signals to other processes."""
    CONTROL = "control"
    """Limits and priorities of other processes, and objects of System V IPC."""
    COUNT = "count"
    """Any number of processes between two looks at them, without a limit of the kernel."""
    MEMORY = "memory"
    """Memory that belongs to no process, so that no limit counts it."""


_DEPENDS = frozenset({Wall.CONTROL, Wall.COUNT, Wall.MEMORY})
"""Walls that depend on the user and the architecture, at any level."""
PROMISED: Mapping[Level, frozenset[Wall]] = {
    Level.NAMESPACES: frozenset(Wall) - _DEPENDS,
    Level.LANDLOCK: frozenset(Wall) - _DEPENDS,
    Level.USER: frozenset({Wall.SECRETS, Wall.PROCESSES, Wall.SIGNALS, Wall.COUNT}),
    Level.NONE: frozenset(),
}
"""Walls that a level must have to be used."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """How to confine. ``standing`` are the walls that held when they were tried.

    ``reasons`` say why stronger levels are not in force. ``uid`` is the first of a range of user
    ids, one per running process; with ``reach``, these users keep root's right to read and write any
    file, and only Landlock decides. ``private`` are files and folders that no process may be shown.
    """

    level: Level = Level.NONE
    standing: frozenset[Wall] = frozenset()
    reasons: Mapping[Level, str] = field(default_factory=dict)
    bwrap: Path | None = None
    own_proc: bool = True
    landlock_abi: int = 0
    uid: int | None = None
    reach: bool = False
    private: tuple[Path, ...] = ()

    @property
    def open(self) -> tuple[Wall, ...]:
        """Walls that do not hold, for the operator to know."""
        return tuple(wall for wall in Wall if wall not in self.standing)

    def order(
        self, argv: Sequence[str], env: Mapping[str, str], confinement: Confinement
    ) -> dict[str, Any]:
        """Return the order for the guard to start ``argv`` with exactly ``env``.

        Raises OSError for a program that is missing or not for this machine, ValueError for a
        readable path that holds a private one.
        """
        if found := exposed(confinement.readable, self.private):
            raise ValueError(
                f"it may read {found[0]}, which holds {found[1]}; name narrower folders"
            )
        filter_code = b""
        if self.level is not Level.NONE:
            filter_code = seccomp.program(
                network=confinement.network, confines=confinement.confines
            )
        start = list(argv)
        if self.bwrap is not None:
            if (program := Path(argv[0])).is_absolute():
                bubblewrap.check_format(program)
            start = bubblewrap.command(
                self.bwrap, argv, confinement, own_proc=self.own_proc, filtered=bool(filter_code)
            )
        return {
            "argv": start,
            "env": dict(env),
            "cwd": str(confinement.work),
            "work": str(confinement.work),
            "nice": confinement.nice,
            "contained": self.bwrap is not None,
            "confines": confinement.confines,
            "no_new_privileges": self._forbids_privileges(),
            "uid": self.uid,
            "reach": self.reach,
            "landlock": self._landlock(confinement),
            "seccomp": b64encode(filter_code).decode(),
            "rlimits": _rlimits(confinement.limits, counted=self.uid is not None),
            "processes_above": _above(confinement.limits) if self.uid is None else None,
            "watch": _watched(confinement.limits),
        }

    def _forbids_privileges(self) -> bool:
        """Return whether the keeper may forbid privileges; some systems' bubblewrap needs them."""
        if self.bwrap is not None:
            return not self.bwrap.stat().st_mode & stat.S_ISUID
        return self.level is not Level.NONE

    def _landlock(self, confinement: Confinement) -> dict[str, Any] | None:
        if not self.landlock_abi:
            return None
        paths = [*interpreter(), *confinement.readable]
        return {
            "abi": self.landlock_abi,
            "read": [*SYSTEM, *PROCESS_FILES, "/proc/self", *map(str, paths)],
            "write": [str(confinement.work)],
            "devices": list(DEVICES),
            "network": confinement.network,
        }


def _rlimits(limits: Limits, *, counted: bool) -> dict[str, tuple[int, int]]:
    """Return soft and hard limits by the names of the ``resource`` module, without their prefix.

    The kernel counts threads by user, so this limit is for users with a single confined process.
    It allows one more than the watch does: the watch then sees the excess and names the limit.
    Locked pages of files would count for no process and never be freed.
    """
    threads = None if limits.threads is None else limits.threads + 1
    same = {
        "AS": limits.address_space,
        "FSIZE": limits.file_size,
        "NOFILE": limits.open_files,
        "NPROC": threads if counted else None,
        "CORE": 0,
        "MEMLOCK": 0,
    }
    found = {name: (value, value) for name, value in same.items() if value is not None}
    if limits.cpu_seconds is not None:
        seconds = max(1, round(limits.cpu_seconds))
        found["CPU"] = (seconds, seconds + _CPU_GRACE_SECONDS)
    return found


def _above(limits: Limits) -> int | None:
    return None if limits.threads is None else limits.threads + 1 + _HEADROOM


def _watched(limits: Limits) -> dict[str, float]:
    named = {
        "memory": limits.memory,
        "processes": limits.processes,
        "threads": limits.threads,
        "cpu_seconds": limits.cpu_seconds,
    }
    return {name: value for name, value in named.items() if value is not None}
