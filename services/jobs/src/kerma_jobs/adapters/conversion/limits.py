"""Limits of a conversion, and how many may run and wait."""

from __future__ import annotations

from dataclasses import dataclass

TOO_LARGE = "is too large or too deeply nested to convert"


@dataclass(frozen=True, slots=True)
class ConversionLimits:
    """Limits of one conversion: seconds of processor time and of wall time, bytes.

    ``memory`` includes the engines' code and data, about 60 MiB.
    """

    cpu_seconds: int = 10
    wall_seconds: float = 30.0
    memory: int = 512 << 20
    answer: int = 96 << 20
    """Largest answer: an input set holds at most 64 MiB of files, and JSON makes it longer."""


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How many conversions may run and wait; sizes in bytes.

    ``fast`` run at a time. One that takes longer than ``fast_seconds`` makes room for the next and
    becomes one of at most ``slow``. At most ``per_user`` of one user run at a time.
    """

    fast: int = 4
    slow: int = 3
    fast_seconds: float = 1.0
    per_user: int = 1
    waiting: int = 256
    waiting_bytes: int = 64 << 20
    waiting_per_user: int = 32
    waiting_bytes_per_user: int = 32 << 20
