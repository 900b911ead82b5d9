"""The only way to write to a terminal: untrusted text is escaped.

File names, titles and messages come from anywhere, and could recolour, overwrite or retitle a
terminal. Commands write with ``say``, ``warn``, ``put_json`` and ``console``; the linter refuses
``print`` and ``sys.stdout`` elsewhere. ``plain_streams`` filters both streams while the program
runs, for output of other libraries, such as usage errors.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TextIO, cast

import typer

from kerma_client.text import NOT_ASCII, printable, unless_printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.table import Table

    from kerma_client.console import PlainConsole

PIPE_WIDTH = 200
"""Columns of tables that do not go to a terminal, where nothing wraps them."""


def one_line(text: str) -> str:
    """Return ``text`` without line ends, where a second line would look like another entry."""
    return text.replace("\n", "\\n")


def say(text: str) -> None:
    """Print a line on standard output and flush it."""
    sys.stdout.write(printable(text) + "\n")
    sys.stdout.flush()


def warn(text: str) -> None:
    """Print a line on standard error."""
    sys.stderr.write(printable(text) + "\n")


def put_json(text: str | bytes) -> None:
    """Print JSON on standard output, with JSON's escapes for unprintable characters in strings."""
    shown = text.decode() if isinstance(text, bytes) else text
    # between strings there are only printable characters and line ends
    sys.stdout.write(NOT_ASCII.sub(lambda c: unless_printable(c[0], _json(c[0])), shown) + "\n")


def _json(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def fail(message: str) -> NoReturn:
    """Print a sentence on standard error and exit with status 1."""
    warn(f"kerma: {message}")
    raise typer.Exit(1)


def console(*, error: bool = False) -> PlainConsole:
    """Return a console for tables and progress that prints text as it is, not as markup.

    It writes to standard output, or to standard ``error``.
    """
    from kerma_client.console import PlainConsole

    chosen = sys.stderr if error else sys.stdout
    stream = chosen.raw_stream if isinstance(chosen, PlainStream) else chosen
    plain = PlainConsole(file=stream, markup=False, emoji=False, highlight=False)
    if not plain.is_terminal:
        plain.width = PIPE_WIDTH
    return plain


def table(headings: Iterable[str], rows: Iterable[Iterable[str]], title: str = "") -> Table:
    """Return a table for ``console``; long cells wrap instead of being cut."""
    from rich.table import Table

    made = Table(title=printable(title) or None, title_justify="left")
    for heading in headings:
        made.add_column(heading, overflow="fold")
    for row in rows:
        made.add_row(*(printable(cell) for cell in row))
    return made


class PlainStream(io.TextIOBase):
    """A text stream that writes only printable characters and line ends."""

    def __init__(self, raw_stream: TextIO) -> None:
        self.raw_stream = raw_stream

    def write(self, text: str) -> int:
        """Write ``text``, escaped where needed; return the length of ``text``."""
        self.raw_stream.write(printable(text))
        return len(text)

    def flush(self) -> None:
        """Flush."""
        self.raw_stream.flush()

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return self.raw_stream.isatty()

    def fileno(self) -> int:
        """Return the descriptor."""
        return self.raw_stream.fileno()

    def writable(self) -> bool:
        """Return True."""
        return True

    def __getattr__(self, name: str) -> Any:
        if name in ("encoding", "errors", "newlines"):
            return getattr(self.raw_stream, name)
        raise AttributeError(name)  # above all `buffer`, which would bypass the filter


@contextmanager
def plain_streams() -> Iterator[None]:
    """Filter standard output and error for the duration of the block."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, PlainStream(stream)) for stream in before)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stdout, sys.stderr = before
