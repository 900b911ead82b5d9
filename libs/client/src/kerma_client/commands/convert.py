"""``kerma engines convert``: write the input files of projects."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kerma_client.terminal import console, fail, say, table, warn

if TYPE_CHECKING:
    from kerma_engines.adapter.port import InputSet


def convert(
    project: Annotated[Path, typer.Argument(help="Project or downloaded result of the editor.")],
    engine: Annotated[str, typer.Option(help="Engine to write input files for.")],
    out: Annotated[Path, typer.Option(help="Directory for the input files.")],
) -> None:
    """Write the input files that an engine needs for a project."""
    from kerma_engines.catalogue.registry import ENGINE_NAMES
    from kerma_engines.catalogue.registry import engine as find
    from kerma_engines.errors import InvalidInput

    name = engine.lower()  # as POST /jobs/direct takes it
    if name not in ENGINE_NAMES:
        fail(f"no such engine: {engine}; known: {', '.join(ENGINE_NAMES)}")
    try:
        inputs = find(name).convert(_load(project))
    except InvalidInput as refused:
        for problem in refused.problems:
            warn(f"kerma: {problem}")
        raise typer.Exit(1) from None
    _write(inputs, out)
    for note in inputs.options.get("notes", ()):
        warn(f"note: {note}")
    rows = (
        (output.name, output.file, ", ".join(quantity.name for quantity in output.quantities))
        for output in inputs.outputs
    )
    console().print(table(("output", "file", "quantities"), rows))
    say(f"{inputs.primaries} primaries; {', '.join(inputs.files)} in {out}")


def _write(inputs: InputSet, out: Path) -> None:
    from kerma_engines.adapter.files import write_files

    try:
        out.mkdir(parents=True, exist_ok=True)
        others = sorted(path.name for path in out.iterdir() if path.name not in inputs.files)
        write_files(out, inputs.files)
    except OSError as error:
        fail(f"{out}: {error.strerror}")
    if others:
        named = ", ".join(others[:5]) + (" ..." if len(others) > 5 else "")
        warn(f"note: {out} holds files that are not of this conversion: {named}")


def _load(path: Path) -> dict[str, Any]:
    import orjson

    try:
        loaded = orjson.loads(path.read_bytes().removeprefix(codecs.BOM_UTF8))
    except OSError as error:
        fail(f"{path}: {error.strerror}")
    except ValueError as error:
        fail(f"{path}: not a JSON file: {error}")
    if not isinstance(loaded, dict):
        fail(f"{path}: not a project of the editor")
    project: dict[str, Any] = loaded
    return project
