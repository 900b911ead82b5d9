"""Limits on attempts in a time, as operators write them: ``10 per 5 minutes``."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LIMIT = re.compile(r"([0-9]{1,9}) per (?:([0-9]{1,6}) )?(second|minute|hour|day)s?", re.ASCII)
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``amount`` attempts in the ``seconds`` after the first of them."""

    amount: int
    seconds: int


def parse_limit(text: str) -> Limit:
    """Return the limit that a text names. Raises ValueError."""
    found = _LIMIT.fullmatch(text.strip())
    if found is None:
        raise ValueError("must look like '10 per 5 minutes'")
    amount, count, unit = found.groups()
    limit = Limit(int(amount), int(count or 1) * _SECONDS[unit])
    if not limit.amount or not limit.seconds:
        raise ValueError("must not be zero")
    return limit
