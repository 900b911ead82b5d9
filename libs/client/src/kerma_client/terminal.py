"""The one way out to people's terminals: text of any origin, without harm to them.

Names of files, titles and messages come from anywhere, and could recolour, overwrite or retitle a
terminal. Commands write with ``say``, ``warn``, ``put_json`` and ``console``; the linter refuses
``print`` and ``sys.stdout`` elsewhere. For what other libraries print, such as usage errors,
``plain_streams`` filters both streams while the program runs.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TextIO, cast

import typer
from rich.console import Console
from rich.segment import Segment
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

PIPE_WIDTH = 200
"""Columns of tables that are not printed to a terminal: nobody wraps them there."""
_NOT_ASCII = re.compile(r"[^\n\x20-\x7e]")


def printable(text: str) -> str:
    """Return ``text`` with all but printable characters and line ends as backslash escapes."""
    return _NOT_ASCII.sub(lambda found: _unless_printable(found[0], ascii(found[0])[1:-1]), text)


def _unless_printable(character: str, escape: str) -> str:
    return character if character.isprintable() else escape


def one_line(text: str) -> str:
    """Return ``text`` without line ends, where a second line would pass for another entry."""
    return text.replace("\n", "\\n")


def say(text: str) -> None:
    """Print a line on standard output at once."""
    sys.stdout.write(printable(text) + "\n")
    sys.stdout.flush()


def warn(text: str) -> None:
    """Print a line on standard error."""
    sys.stderr.write(printable(text) + "\n")


def put_json(text: str | bytes) -> None:
    """Print JSON on standard output, with JSON's escapes for what is not printable in strings."""
    shown = text.decode() if isinstance(text, bytes) else text
    # between strings there are only printable characters and line ends
    sys.stdout.write(_NOT_ASCII.sub(lambda c: _unless_printable(c[0], _json(c[0])), shown) + "\n")


def _json(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def fail(message: str) -> NoReturn:
    """Print a sentence on standard error and exit with status 1."""
    warn(f"kerma: {message}")
    raise typer.Exit(1)


class PlainConsole(Console):
    """A console whose own control sequences pass, and none that comes within text."""

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        # the last step before the stream, whatever was printed and by whichever part of Rich
        plain = (
            part if part.control else Segment(printable(part.text), part.style) for part in buffer
        )
        return super()._render_buffer(plain)


def console() -> PlainConsole:
    """Return a console for tables and progress that prints text as it is, not as markup."""
    stream = sys.stdout.raw_stream if isinstance(sys.stdout, PlainStream) else sys.stdout
    plain = PlainConsole(file=stream, markup=False, emoji=False, highlight=False)
    if not plain.is_terminal:
        plain.width = PIPE_WIDTH
    return plain


def table(headings: Iterable[str], rows: Iterable[Iterable[str]], title: str = "") -> Table:
    """A table for ``console``; long cells go on in the next line instead of being cut."""
    made = Table(title=printable(title) or None, title_justify="left")
    for heading in headings:
        made.add_column(heading, overflow="fold")
    for row in rows:
        made.add_row(*(printable(cell) for cell in row))
    return made


class PlainStream(io.TextIOBase):
    """A text stream that writes nothing but printable characters and line ends."""

    def __init__(self, raw_stream: TextIO) -> None:
        self.raw_stream = raw_stream

    def write(self, text: str) -> int:
        """Write ``text``, escaped where needed; its own length."""
        self.raw_stream.write(printable(text))
        return len(text)

    def flush(self) -> None:
        """Flush."""
        self.raw_stream.flush()

    def isatty(self) -> bool:
        """Whether a person reads along."""
        return self.raw_stream.isatty()

    def fileno(self) -> int:
        """The descriptor."""
        return self.raw_stream.fileno()

    def writable(self) -> bool:
        """Yes."""
        return True

    def __getattr__(self, name: str) -> Any:
        if name in ("encoding", "errors", "newlines"):
            return getattr(self.raw_stream, name)
        raise AttributeError(name)  # above all `buffer`, which would lead past the filter


@contextmanager
def plain_streams() -> Iterator[None]:
    """Filter standard output and error as long as the block."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, PlainStream(stream)) for stream in before)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stdout, sys.stderr = before
