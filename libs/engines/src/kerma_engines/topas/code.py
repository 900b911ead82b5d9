"""TOPAS's own code: conversion, input files and results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerma_engines.adapter.files import write_files
from kerma_engines.adapter.outputs import read_outputs
from kerma_engines.adapter.port import Command
from kerma_engines.topas.bins import scored_bins
from kerma_engines.topas.convert.beam import SOURCE
from kerma_engines.topas.convert.convert import PARAMETER_FILE, convert
from kerma_engines.topas.files import accept, with_task
from kerma_engines.topas.read.pages import files_of, joined
from kerma_engines.topas.read.read import read as read_files
from kerma_engines.topas.read.read import read_topas_file

if TYPE_CHECKING:
    from pathlib import Path

    from kerma_engines.adapter.port import InputSet
    from kerma_engines.results.estimators import Estimator
    from kerma_engines.topas.read.pages import Entry

__all__ = ["accept", "convert", "read", "scored_bins", "write_task"]

_THREADS = 1  # a task has one core; a job has many tasks


def write_task(inputs: InputSet, directory: Path, primaries: int, seed: int) -> Command:
    """Write the files of a task and return how to start it."""
    main = str(inputs.options.get("main", PARAMETER_FILE))
    source = str(inputs.options.get("source", SOURCE))
    random = bool(inputs.options.get("random"))
    text = with_task(inputs.files[main], source, primaries, seed, _THREADS, random=random)
    write_files(directory, {**inputs.files, main: text})
    return Command(("topas", main), results=("*.csv", main))


def read(directory: Path, inputs: InputSet) -> tuple[Estimator, ...]:
    """Read the estimators of a finished task, in the order of the output map. Raises ReadError.

    TOPAS writes one file per scorer. The files of one output become pages of one estimator, and
    those of two scorers one page where the quantity is their quotient.
    """
    files: dict[str, list[Entry]] | None = inputs.options.get("files")
    if not files:
        return read_files(directory, inputs)
    parts = {entries[0]["file"]: entries for entries in files.values()}

    def find(file: str) -> Path | None:
        whole = all((directory / name).is_file() for name in files_of(parts[file]))
        return directory / file if whole else None

    def read_parts(path: Path) -> Estimator:
        return joined(directory, parts[path.name], read_topas_file)

    return read_outputs(inputs, find, (), read_parts)
