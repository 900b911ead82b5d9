"""The console of ``terminal.console``, apart from it because few commands need Rich."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.segment import Segment

from kerma_client.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable


class PlainConsole(Console):
    """A console that emits its own control sequences and escapes those in text."""

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        # the last step before the stream, whichever part of Rich printed
        plain = (
            part if part.control else Segment(printable(part.text), part.style) for part in buffer
        )
        return super()._render_buffer(plain)
