"""``kerma engines convert``: input files of projects."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from kerma_engines.engine import InputSet


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
