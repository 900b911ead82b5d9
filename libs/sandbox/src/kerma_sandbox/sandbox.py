"""The sandbox in force on a machine, and how it starts a confined process."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerma_sandbox import bubblewrap, seccomp
from kerma_sandbox.places import DEVICES, PROCESS_FILES, SYSTEM, interpreter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kerma_sandbox.confinement import Confinement, Limits

_CPU_GRACE_SECONDS = 5


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
    """TCP on the loopback interface, and with it every other network."""
    SOCKETS = "sockets"
    """Unix sockets, by path and abstract."""
    PROCESSES = "processes"
    """The environment of other processes."""
    SIGNALS = "signals"
    """Signals to other processes."""


PROMISED: Mapping[Level, frozenset[Wall]] = {
    Level.NAMESPACES: frozenset(Wall),
    Level.LANDLOCK: frozenset(Wall),
    Level.USER: frozenset({Wall.SECRETS, Wall.PROCESSES, Wall.SIGNALS}),
    Level.NONE: frozenset(),
}
"""Walls that a level must have to be used."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """How to confine. ``standing`` are the walls that held when they were tried.

    ``reasons`` say why stronger levels are not in force. ``uid`` is the first of a range of user
    ids, one per running process.
    """

    level: Level = Level.NONE
    standing: frozenset[Wall] = frozenset()
    reasons: Mapping[Level, str] = field(default_factory=dict)
    bwrap: Path | None = None
    own_proc: bool = True
    landlock_abi: int = 0
    uid: int | None = None

    @property
    def open(self) -> tuple[Wall, ...]:
        """Walls that do not hold, for the operator to know."""
        return tuple(wall for wall in Wall if wall not in self.standing)

    def order(
        self, argv: Sequence[str], env: Mapping[str, str], confinement: Confinement
    ) -> dict[str, Any]:
        """Return the order for the guard to start ``argv`` with exactly ``env``.

        Raises OSError for a program that is missing or not for this machine.
        """
        filter_code = (
            b"" if self.level is Level.NONE else seccomp.program(network=confinement.network)
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
            "uid": self.uid,
            "landlock": self._landlock(confinement),
            "seccomp": b64encode(filter_code).decode(),
            "rlimits": _rlimits(confinement.limits, counted=self.uid is not None),
            "watch": _watched(confinement.limits),
        }

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

    The kernel counts threads by user, so that limit is set only for a user with a single process.
    It allows one more than the watch does: the watch then sees the excess and names the limit.
    """
    threads = None if limits.threads is None else limits.threads + 1
    same = {
        "AS": limits.address_space,
        "FSIZE": limits.file_size,
        "NOFILE": limits.open_files,
        "NPROC": threads if counted else None,
        "CORE": 0,
    }
    found = {name: (value, value) for name, value in same.items() if value is not None}
    if limits.cpu_seconds is not None:
        seconds = max(1, round(limits.cpu_seconds))
        found["CPU"] = (seconds, seconds + _CPU_GRACE_SECONDS)
    return found


def _watched(limits: Limits) -> dict[str, float]:
    named = {
        "memory": limits.memory,
        "processes": limits.processes,
        "threads": limits.threads,
        "cpu_seconds": limits.cpu_seconds,
    }
    return {name: value for name, value in named.items() if value is not None}
