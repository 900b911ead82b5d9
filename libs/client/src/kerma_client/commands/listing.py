"""What commands print: tables and sentences, or JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from kerma_client.terminal import console, put_json, say, table

Shown = Callable[[Any], Any]


def rows(
    columns: Mapping[str, str],
    found: Iterable[Mapping[str, Any]],
    *,
    as_json: bool,
    **shown: Shown,
) -> None:
    """Print rows: all of each as JSON, or the columns, which have headings, as a table.

    ``shown`` says what the table has instead of a value.
    """
    if as_json:
        put_json(json.dumps([_plain(row) for row in found]))
        return
    cells = (tuple(_cell(shown.get(name, _same)(row[name])) for name in columns) for row in found)
    console().print(table(tuple(columns.values()), cells))


def mark(word: str) -> Shown:
    """Return what shows a word for what is true, and nothing else."""
    return lambda value: word if value else ""


def or_else(word: str) -> Shown:
    """Return what shows a word where there is nothing."""
    return lambda value: word if value is None else value


def done(sentence: str, *, as_json: bool, **facts: Any) -> None:
    """Print what was done."""
    if as_json:
        put_json(json.dumps(_plain(facts)))
    else:
        say(sentence)


def attributes(names: Sequence[str], found: Iterable[object], **of: str) -> list[dict[str, Any]]:
    """Return objects as rows with these names; ``of`` gives attributes that are called otherwise.

    What is printed has the names of ``/v1``: ``id`` for the thing itself, ``_at`` for times.
    """
    return [{name: getattr(one, of.get(name, name)) for name in names} for one in found]


def _same(value: Any) -> Any:
    return value


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in row.items()
    }


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    return str(value)
