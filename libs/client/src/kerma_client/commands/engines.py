"""``kerma engines``: work with engines' files without a running Kerma."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kerma_client.commands import convert, offers
from kerma_client.terminal import console, fail, put_json, say, table, warn

if TYPE_CHECKING:
    from rich.table import Table

    from kerma_engines.results.estimators import Axis, Estimator, FloatArray, Page

app = typer.Typer(help="Read, merge and convert files of the engines.", no_args_is_help=True)
app.command()(convert.convert)
app.command("list")(offers.list_engines)

Files = Annotated[list[Path], typer.Argument(help="Result files of the engines.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AsTable = Annotated[bool, typer.Option("--table", help="Print a table (the default).")]
Plot = Annotated[
    Path | None, typer.Option(metavar="OUT.png", help="Draw the pages with one or two axes.")
]


@app.command()
def read(
    files: Files, as_json: AsJson = False, as_table: AsTable = False, plot: Plot = None
) -> None:
    """Show the contents of result files."""
    from kerma_engines.catalogue.task_files import read_files

    with _mendable():
        _show(read_files(files), as_json=as_json, as_table=as_table, plot=plot)


@app.command()
def merge(
    files: Files, as_json: AsJson = False, as_table: AsTable = False, plot: Plot = None
) -> None:
    """Merge the results of several tasks. Files of one output differ only by the number in their
    name.

    The order of the files does not matter.
    """
    from kerma_engines.catalogue.reading import shown
    from kerma_engines.catalogue.task_files import alike, merge_files

    with _mendable():
        merged = merge_files(files)
        for one, other in alike(files):
            warn(f"kerma: {shown(one)} and {shown(other)} have the same contents: one task twice?")
        _show(merged, as_json=as_json, as_table=as_table, plot=plot)


@contextmanager
def _mendable() -> Iterator[None]:
    """Turn errors that a user can fix into one sentence and exit status 1."""
    from kerma_engines.errors import EngineError

    try:
        yield
    except (EngineError, OSError) as error:
        fail(str(error))


def _show(
    estimators: Iterable[Estimator], *, as_json: bool, as_table: bool, plot: Path | None
) -> None:
    estimators = list(estimators)
    if plot is not None:
        _draw(estimators, plot)
    if as_json:
        from kerma_engines.results.json_form import estimators_json

        put_json(estimators_json(estimators))
    elif as_table or plot is None:
        out = console()
        for estimator in estimators:
            out.print(_table(estimator))
            _print_notes(estimator)


def _print_notes(estimator: Estimator) -> None:
    """Print what users should know about how pages were scored and merged."""
    from kerma_engines.results.json_form import note_of

    notes: dict[str, list[str]] = {}
    for page in estimator.pages:
        if note := note_of(page.metadata):
            notes.setdefault(note, []).append(page.name)
    for note, names in notes.items():
        say(f"{', '.join(names)}: {note}")


def _table(estimator: Estimator) -> Table:
    tasks = estimator.metadata.get("tasks_merged")
    merged = f", tasks merged: {tasks}" if tasks else ""
    from kerma_engines.results.json_form import filter_of

    rows = (
        (
            page.name,
            filter_of(page.metadata),
            page.unit,
            page.merge.value,
            " x ".join(map(str, page.shape)) or str(page.values.size),
            "\n".join(_describe(axis) for axis in page.axes),
            _largest(page),
        )
        for page in estimator.pages
    )
    title = f"{estimator.name} (primaries: {estimator.primaries or 'unknown'}{merged})"
    return table(
        ("page", "filter", "unit", "class", "bins", "axes", "largest value (68 %)"), rows, title
    )


def _describe(axis: Axis) -> str:
    log = "" if axis.binning.value == "linear" else ", log"
    return f"{axis.name} {axis.edges[0]:.6g} to {axis.edges[-1]:.6g} {axis.unit}{log}"


def _largest(page: Page) -> str:
    """Return the largest value, where the statistics are best, with its confidence interval if
    known.
    """
    import numpy as np

    from kerma_engines.results.student import half_width

    finite = np.isfinite(page.values)
    if page.merge.value == "concat" or not finite.any():
        return "-"
    place = int(np.where(finite, page.values, -np.inf).argmax())
    error = ""
    if page.errors is not None:
        error = f" ± {page.errors[place] * half_width(page.freedom):.2g}"
    return f"{page.values[place]:.6g}{error}"


def _draw(estimators: list[Estimator], target: Path) -> None:
    """Draw one picture with a panel per page. Raises EngineError when there is nothing to draw."""
    from kerma_client.plots import draw_pages
    from kerma_engines.errors import EngineError

    pages: list[tuple[str, dict[str, Any]]] = []
    for estimator in estimators:
        for page in estimator.pages:
            title = f"{estimator.name}: {page.name}"
            if len(page.axes) in (1, 2):
                pages.append((title, _as_result(page)))
            else:
                warn(f"note: {title} has {len(page.axes)} axes and is left out of the picture")
    if not pages:
        raise EngineError("no page has one or two axes, so there is nothing to draw; see --table")
    try:
        draw_pages(pages, target)
    except ValueError as error:
        raise EngineError(str(error)) from error


def _as_result(page: Page) -> dict[str, Any]:
    """Return the page in the form of GET /results."""
    described: dict[str, Any] = {
        "dimensions": len(page.axes),
        "data": {
            "name": page.name,
            "unit": page.unit,
            "values": _numbers(page.values),
            "errors": None if page.errors is None else _numbers(page.errors),
            "degrees_of_freedom": page.freedom,
        },
    }
    for number, axis in enumerate(page.axes, 1):
        described[f"axis_dim{number}"] = {
            "name": axis.name,
            "unit": axis.unit,
            "values": _numbers(axis.centres),
            "edges": _numbers(axis.edges),
            "binning": axis.binning.value,
        }
    return described


def _numbers(array: FloatArray) -> list[float]:
    return [float(value) for value in array]
