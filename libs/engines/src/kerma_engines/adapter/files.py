"""Input files supplied by users: names, sizes, and edits that change a single number."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kerma_engines.errors import InvalidInput, Problem
from kerma_engines.fields import BYTE_ORDER_MARK, MAX_PRIMARIES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAX_FILES = 100
MAX_SIZE = 64 * 2**20  # bytes of all files together

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}")


def checked_files(files: Mapping[str, str]) -> dict[str, str]:
    """Return a user's files, each without a byte order mark.

    Raises InvalidInput with every problem found: names that are no plain file names, too many
    files, files that are too large. Names end up in command lines and scripts of engines, so only
    letters, digits and ``_ . + -`` are allowed, and no leading ``-``.
    """
    problems: list[Problem] = []
    seen: set[str] = set()
    size = 0
    for name, text in files.items():
        shown = repr(name[:64])
        if not _NAME.fullmatch(name):
            reason = "file names hold letters, digits, '_', '.', '+' and '-' only"
            problems.append(Problem(shown, reason))
        elif name.casefold() in seen:
            problems.append(Problem(shown, "differs from another name only in case"))
        seen.add(name.casefold())
        try:
            size += len(text.encode())
        except UnicodeEncodeError:
            problems.append(Problem(shown, "is not valid Unicode"))
        if "\0" in text:
            problems.append(Problem(shown, "contains NUL"))
    if not files:
        problems.append(Problem("files", "there are none"))
    if len(files) > MAX_FILES:
        problems.append(Problem("files", f"{len(files)} files; at most {MAX_FILES} are taken"))
    if size > MAX_SIZE:
        problems.append(Problem("files", f"{size} bytes; at most {MAX_SIZE} are taken"))
    if problems:
        raise InvalidInput(tuple(problems))
    return {name: text.removeprefix(BYTE_ORDER_MARK) for name, text in files.items()}


def why_not_beside(name: str) -> str:
    """Return why ``name`` is not a file directly in the work folder, or "" if it is.

    An engine opens the files that its input names. Paths that lead elsewhere are refused.
    """
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[/\\]", name):
        return "is an absolute path"
    if name.startswith("~") or "$" in name:
        return "depends on the machine"
    if ".." in re.split(r"[/\\]", name):
        return "leads to a parent folder"
    return "" if plain_output(name) else "is no plain file name"


def why_not_given(name: str, files: Mapping[str, str]) -> str:
    """Return why ``name`` is not one of the input files, or "" if it is."""
    return why_not_beside(name) or ("" if name in files else "is not among the files")


def lines_of(text: str) -> list[str]:
    """Split ``text`` into lines that keep their ends, so that joining them restores it."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def put(line: str, start: int, end: int, value: str) -> str:
    """Return ``line`` with ``value`` in the given columns, which keep their width if it fits."""
    return line[:start] + value.ljust(end - start) + line[end:]


def whole(text: str) -> int | None:
    """Parse a number of primaries as engines write it (1000, 1000., 1.0E3), or return None."""
    try:
        value = float(text.replace("D", "E").replace("d", "e"))
    except ValueError:
        return None
    if not value.is_integer() or not 1 <= value <= MAX_PRIMARIES:
        return None
    return int(value)


def plain_output(name: str) -> bool:
    """Return whether a result file is written directly into the work folder."""
    return bool(_NAME.fullmatch(name))


def write_files(directory: Path, files: Mapping[str, str]) -> None:
    """Write the files of a task without translating newlines."""
    for name, text in files.items():
        (directory / name).write_text(text, encoding="utf-8", newline="")


def limit_primaries(engine: str, primaries: int, largest: int) -> None:
    """Refuse a task of more primaries than the engine can count. Raises InvalidInput."""
    if primaries > largest:
        reason = f"{primaries} primaries in one task; {engine} counts up to {largest}"
        raise InvalidInput((Problem("primaries", reason),))
