"""Text that may come from anywhere, made fit for a terminal."""

from __future__ import annotations

import re

NOT_ASCII = re.compile(r"[^\n\x20-\x7e]")


def printable(text: str) -> str:
    """Return ``text`` with everything but printable characters and line ends as backslash escapes."""
    return NOT_ASCII.sub(lambda found: unless_printable(found[0], ascii(found[0])[1:-1]), text)


def unless_printable(character: str, escape: str) -> str:
    """Return a character that can be printed, or ``escape`` for it."""
    return character if character.isprintable() else escape
