"""The table of a job's results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from kerma_client import terminal
from kerma_client.console import PlainConsole
from kerma_engines.results.json_form import filter_of, note_of
from kerma_engines.results.student import half_width

if TYPE_CHECKING:
    from kerma_client.api.models import Estimator


def results_body(estimators: Iterable[Estimator]) -> dict[str, Any]:
    """Return results in the form of ``GET /results``, which scripts and pictures read."""
    shown = [
        {name: value for name, value in found.raw.items() if name != "number"}
        for found in estimators
    ]
    return {"estimators": shown, "message": "Results of the job"}


def print_estimators(body: dict[str, Any], console: PlainConsole) -> None:
    """Print a table of what was scored, with the largest values and 68 % confidence intervals.

    The filter distinguishes pages of one quantity. Notes on how pages were scored and merged
    follow the table.
    """
    headings = ("estimator", "page", "quantity", "filter", "bins", "largest", "unit", "± (68 %)")
    console.print(terminal.table(headings, _rows(body)))
    notes: dict[str, list[str]] = {}
    for estimator in body["estimators"]:
        for page in estimator["pages"]:
            if note := note_of(page["metadata"]):
                place = f"{estimator['name']} {page['metadata']['page_number']}"
                notes.setdefault(note, []).append(place)
    for note, places in notes.items():
        terminal.say(f"{', '.join(places)}: {note}")


def _rows(body: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for estimator in body["estimators"]:
        for page in estimator["pages"]:
            data = page["data"]
            values = [v for v in data["values"] if v is not None]
            top = max(values, default=0.0)
            errors = data.get("errors")
            error = errors[data["values"].index(top)] if errors and values else None
            width = half_width(data.get("degrees_of_freedom"))
            yield (
                estimator["name"],
                str(page["metadata"]["page_number"]),
                data["name"],
                filter_of(page["metadata"]),
                str(len(data["values"])),
                f"{top:.5g}",
                data["unit"],
                f"{100 * width * error / top:.2f} %" if error is not None and top > 0 else "",
            )
