"""The table of a job's results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console

from kerma_client import terminal


def print_estimators(body: dict[str, Any], console: Console) -> None:
    """A table of what was scored, with the largest value and its relative error."""
    headings = ("estimator", "page", "quantity", "bins", "largest", "unit", "± there")
    console.print(terminal.table(headings, _rows(body)))


def _rows(body: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for estimator in body["estimators"]:
        for page in estimator["pages"]:
            data = page["data"]
            values = [v for v in data["values"] if v is not None]
            top = max(values, default=0.0)
            errors = data.get("errors")
            error = errors[data["values"].index(top)] if errors and values else None
            yield (
                estimator["name"],
                str(page["metadata"]["page_number"]),
                data["name"],
                str(len(data["values"])),
                f"{top:.5g}",
                data["unit"],
                f"{100 * error / top:.2f} %" if error is not None and top > 0 else "",
            )
