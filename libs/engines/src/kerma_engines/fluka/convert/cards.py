"""Format cards of a FLUKA input file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerma_engines.adapter.conversion import fixed

if TYPE_CHECKING:
    from collections.abc import Sequence

What = float | int | str | None


def card(name: str, whats: Sequence[What] = (), text: str = "") -> str:
    """Return a card in fixed columns: up to six numbers or names, then text."""
    fields = "".join(f"{_what(what):>10}" for what in whats)
    return f"{name:<10}{fields:<60}{text}".rstrip()


def _what(what: What) -> str:
    if what is None:
        return ""
    return what if isinstance(what, str) else fixed(float(what), 10)


def free(words: Sequence[str], width: int = 100) -> list[str]:
    """Return words of free-format geometry, wrapped; continuation lines begin with blanks."""
    lines: list[str] = []
    line = ""
    for word in words:
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = "   "
        line = f"{line} {word}" if line else word
    return [*lines, line]
