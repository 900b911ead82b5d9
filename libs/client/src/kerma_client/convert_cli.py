"""``kerma engines convert`` and ``list``: input files of projects, and what is installed."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from kerma_engines.catalogue import Offer
    from kerma_engines.engine import InputSet

CATALOGUE = Path("engines.toml")


def convert(
    project: Annotated[Path, typer.Argument(help="Project or downloaded result of the editor.")],
    engine: Annotated[str, typer.Option(help="Engine to write input files for.")],
    out: Annotated[Path, typer.Option(help="Directory for the input files.")],
) -> None:
    """Write the input files that an engine needs for a project."""
    from kerma_engines.errors import InvalidInput
    from kerma_engines.registry import ENGINE_NAMES
    from kerma_engines.registry import engine as find

    if engine not in ENGINE_NAMES:
        _fail(f"no such engine: {engine}; known: {', '.join(ENGINE_NAMES)}")
    try:
        inputs = find(engine).convert(_load(project))
    except InvalidInput as refused:
        for problem in refused.problems:
            sys.stderr.write(f"kerma: {problem}\n")
        raise typer.Exit(1) from None
    _write(inputs, out)
    for note in inputs.options.get("notes", ()):
        sys.stderr.write(f"note: {note}\n")
    table = Table("output", "file", "quantities")
    for output in inputs.outputs:
        quantities = ", ".join(quantity.name for quantity in output.quantities)
        table.add_row(output.name, output.file, quantities)
    Console().print(table)
    sys.stdout.write(f"{inputs.primaries} primaries; {', '.join(inputs.files)} in {out}\n")


def _write(inputs: InputSet, out: Path) -> None:
    from kerma_engines.files import write_files

    try:
        out.mkdir(parents=True, exist_ok=True)
        write_files(out, inputs.files)
    except OSError as error:
        _fail(f"{out}: {error.strerror}")


def list_engines(
    catalogue: Annotated[Path, typer.Option(help="Catalogue of installed engines.")] = CATALOGUE,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show which engines this machine offers, with version and digest."""
    from kerma_engines.catalogue import CatalogueError, load_catalogue
    from kerma_engines.registry import ENGINE_NAMES

    try:
        offers = load_catalogue(catalogue).offers()
    except CatalogueError as error:
        _fail(str(error))
    if as_json:
        sys.stdout.write(json.dumps([asdict(offer) for offer in offers], indent=2) + "\n")
        return
    known = {offer.name: offer for offer in offers}
    table = Table("engine", "runs on", "version", "digest", "licence")
    for name in ENGINE_NAMES:
        table.add_row(name, *_row(known.get(name)))
    Console().print(table)


def _row(offer: Offer | None) -> tuple[str, ...]:
    if offer is None:
        return ("not installed", "", "", "")
    runs = "itself" if offer.runs == offer.name else offer.runs
    return (runs, offer.version or "unknown", offer.digest[:12], offer.licence)


def _load(path: Path) -> dict[str, Any]:
    import orjson

    try:
        loaded = orjson.loads(path.read_bytes())
    except OSError as error:
        _fail(f"{path}: {error.strerror}")
    except orjson.JSONDecodeError as error:
        _fail(f"{path}: not a JSON file: {error}")
    if not isinstance(loaded, dict):
        _fail(f"{path}: not a project")
    project: dict[str, Any] = loaded
    return project


def _fail(message: str) -> NoReturn:
    sys.stderr.write(f"kerma: {message}\n")
    raise typer.Exit(1)
