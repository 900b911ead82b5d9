"""What a frontend may write into the log of the service, and how it is shown there."""

from __future__ import annotations

import re
from dataclasses import dataclass

LEVELS = {
    "debug": 10,
    "log": 20,
    "info": 20,
    "warn": 30,
    "warning": 30,
    "error": 40,
    "critical": 50,
    "fatal": 50,
}
"""Names of levels, as browsers and loggers have them, with their numbers."""
MOST_ENTRIES = 50
MOST_TEXT = 4096
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry: a message, and where in the frontend it comes from."""

    level: int
    message: str
    source: str = ""
    detail: str = ""


def shown(text: str) -> str:
    r"""Return a text of one line: characters that end lines or turn text round become ``\u000a``."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
