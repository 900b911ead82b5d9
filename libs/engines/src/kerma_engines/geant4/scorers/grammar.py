"""Grammar of the macro commands that declare our scorers and filters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kerma_engines.geant4.scorers.quantities import AXES, KINDS, DifferentialAxis

if TYPE_CHECKING:
    from kerma_engines.geant4.scorers.rules import Choice, Condition

QUANTITY = "/kerma/quantity"
FILTER = "/kerma/filter"
RINGS = "/kerma/rings"

_RULE = re.compile(
    r"(Z|A|PDG|AMASS|AMU|E|ENUC|EAMU|GEN)(==|!=|<=|>=|<|>)(-?[0-9.]+(?:e[+-]?[0-9]+)?)"
)
_ONE_OF = re.compile(r"(Z|A|PDG|GEN)==(-?[0-9]{1,12}(?:\|-?[0-9]{1,12}){1,63})")
_MAX_BINS = 20_000_000
_WORDS_PER_AXIS = 5


class Refused(Exception):  # noqa: N818 - becomes a Problem
    """A command is forbidden or malformed; the message says why."""


def parse_quantity(words: list[str]) -> tuple[str, str, tuple[DifferentialAxis, ...]]:
    """Parse kind, name and differential axes of ``KIND NAME [AXIS LOW HIGH BINS lin|log]...``."""
    per_axis = _WORDS_PER_AXIS
    if len(words) not in {2, 2 + per_axis, 2 + 2 * per_axis} or words[0] not in KINDS:
        kinds = ", ".join(KINDS)
        raise Refused(f"{QUANTITY} needs one of {kinds}, a name, and perhaps one or two axes")
    axes = tuple(_axis(words[k : k + per_axis]) for k in range(2, len(words), per_axis))
    return words[0], words[1], axes


def parse_rings(words: list[str]) -> tuple[int, int]:
    """Parse how many inner rings are left out, and how many of the others make a bin."""
    whole = [int(word[:9]) for word in words if word.isascii() and word.isdigit()]
    if len(words) != 2 or len(whole) != 2 or not whole[1]:
        raise Refused(f"{RINGS} needs two whole numbers, the second at least 1")
    return whole[0], whole[1]


def parse_rules(words: list[str]) -> tuple[Condition | Choice, ...]:
    """Parse conditions such as ``Z==1`` or ``E>=10``."""
    if not words:
        raise Refused(f"{FILTER} needs rules such as Z==1 or E>=10, without blanks inside")
    return tuple(_rule(word) for word in words)


def _rule(word: str) -> Condition | Choice:
    if match := _ONE_OF.fullmatch(word):
        return match[1], "in", tuple(float(value) for value in match[2].split("|"))
    match = _RULE.fullmatch(word)
    if match is None:
        raise Refused(f"{FILTER} needs rules such as Z==1 or E>=10, without blanks inside")
    try:
        return match[1], match[2], float(match[3])
    except ValueError:
        raise Refused(f"{FILTER} needs numbers to compare with") from None


def _axis(words: list[str]) -> DifferentialAxis:
    key, first, last, count, spacing = words
    try:
        low, high = float(first), float(last)
    except ValueError:
        raise Refused("the limits of an axis are numbers") from None
    whole = count.isascii() and count.isdigit() and 1 <= int(count[:9]) <= _MAX_BINS
    if key not in AXES or not whole or spacing not in {"lin", "log"}:
        raise Refused(f"an axis is one of {', '.join(AXES)}, low, high, bins, lin or log")
    # not (a < b), so that NaN is refused too
    if not -1e9 < low < high < 1e9 or (spacing == "log" and low <= 0):
        raise Refused("the limits of an axis are not in order")
    return DifferentialAxis(key, low, high, int(count[:9]), spacing == "log")
