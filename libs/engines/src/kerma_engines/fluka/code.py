"""FLUKA's own code: conversion, input files and results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerma_engines.adapter.files import write_files
from kerma_engines.adapter.port import Command
from kerma_engines.fluka.bins import scored_bins
from kerma_engines.fluka.convert.convert import convert
from kerma_engines.fluka.files import accept, with_task
from kerma_engines.fluka.input import input_name
from kerma_engines.fluka.read.read import read

if TYPE_CHECKING:
    from pathlib import Path

    from kerma_engines.adapter.port import InputSet

__all__ = ["accept", "convert", "read", "scored_bins", "write_task"]


def write_task(inputs: InputSet, directory: Path, primaries: int, seed: int) -> Command:
    """Write the files of a task and return how to start it."""
    name = input_name(inputs.files)
    text = with_task(inputs.files, primaries, seed)
    write_files(directory, {**inputs.files, name: text})
    return Command(
        ("rfluka", "-N0", "-M1", name),
        watch="fluka_*/*001.out",
        results=("*_fort.*",),
        logs=("*.out", "*.err", "*.log", "fluka_*/*.out", "fluka_*/*.err", "fluka_*/*.log"),
    )
