"""Print text of any origin without harm to the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

PIPE_WIDTH = 200
"""Columns of tables that are not printed to a terminal: nobody wraps them there."""


def printable(text: str) -> str:
    """Return ``text`` with all but printable characters and line ends as backslash escapes.

    Names of files and results come from anywhere, and could recolour, overwrite or retitle a
    terminal.
    """
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def say(text: str) -> None:
    """Print a line on standard output."""
    sys.stdout.write(printable(text) + "\n")


def warn(text: str) -> None:
    """Print a line on standard error."""
    sys.stderr.write(printable(text) + "\n")


def fail(message: str) -> NoReturn:
    """Print a sentence on standard error and exit with status 1."""
    warn(f"kerma: {message}")
    raise typer.Exit(1)


def console() -> Console:
    """Return a console for tables and progress that prints text as it is, not as markup."""
    plain = Console(markup=False, emoji=False, highlight=False)
    if not plain.is_terminal:
        plain.width = PIPE_WIDTH
    return plain


def table(headings: Iterable[str], rows: Iterable[Iterable[str]], title: str = "") -> Table:
    """Return a table for ``console`` that wraps long cells."""
    made = Table(title=printable(title) or None, title_justify="left")
    for heading in headings:
        made.add_column(heading, overflow="fold")
    for row in rows:
        made.add_row(*(printable(cell) for cell in row))
    return made
