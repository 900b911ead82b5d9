"""Parse names, numbers and units in macros."""

from __future__ import annotations

import math
import re

from kerma_engines.geant4.scorers.grammar import Refused

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}")
LENGTHS_CM = {"mm": 0.1, "cm": 1.0, "m": 100.0, "um": 1e-4}
ANGLES_DEG = {"deg": 1.0, "rad": 180.0 / math.pi}


def floats(arguments: list[str], count: int, *, unit: bool) -> tuple[float, ...]:
    """Return the first numbers; with ``unit``, lengths in cm whose unit follows. Raises Refused."""
    try:
        numbers = tuple(float(word) for word in arguments[:count])
    except ValueError:
        numbers = ()
    if len(numbers) != count or not all(abs(number) < 1e9 for number in numbers):
        raise Refused(f"needs {count} numbers" + (" and a unit of length" if unit else ""))
    if not unit:
        return numbers
    # Without a unit some commands mean mm and others cm: better to ask than to guess.
    name = arguments[count] if len(arguments) > count else ""
    if name not in LENGTHS_CM:
        raise Refused(f"unknown unit of length {name!r}; known are {', '.join(LENGTHS_CM)}")
    return tuple(number * LENGTHS_CM[name] for number in numbers)


def positive(numbers: tuple[float, ...]) -> tuple[float, ...]:
    """Return the numbers. Raises Refused unless all are greater than zero."""
    if min(numbers) <= 0:
        raise Refused("sizes must be positive")
    return numbers
