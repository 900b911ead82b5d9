"""The conditions of filters."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

#: Property of a particle, comparison, value.
Condition = tuple[str, str, float]

#: Property of a particle, "in", the allowed values.
Choice = tuple[str, str, tuple[float, ...]]

COMPARE: dict[str, Callable[[float, Any], bool]] = {
    "in": lambda value, among: value in among,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def as_text(condition: Condition | Choice) -> str:
    """Return the rule as macros have it, such as ``Z==1`` or ``PDG==2212|11``."""
    key, compare, value = condition
    if isinstance(value, tuple):
        return f"{key}==" + "|".join(f"{one:.15g}" for one in value)
    return f"{key}{compare}{value:.15g}"
