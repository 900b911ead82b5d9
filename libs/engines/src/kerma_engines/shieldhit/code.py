"""SHIELD-HIT12A's own code: conversion, input files and results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerma_engines.adapter.files import write_files
from kerma_engines.adapter.port import Command
from kerma_engines.shieldhit.bins import scored_bins
from kerma_engines.shieldhit.convert.convert import convert
from kerma_engines.shieldhit.files import accept, with_task
from kerma_engines.shieldhit.read.read import read

if TYPE_CHECKING:
    from pathlib import Path

    from kerma_engines.adapter.port import InputSet

__all__ = ["accept", "convert", "read", "scored_bins", "write_task"]

_OFFSETS = 9999
"""Files are named by an offset of four digits; the rest of a seed shifts RNDSEED instead."""


def write_task(inputs: InputSet, directory: Path, primaries: int, seed: int) -> Command:
    """Write the files of a task and return how to start it."""
    offset = 1 + (seed - 1) % _OFFSETS
    beam = with_task(inputs.files["beam.dat"], primaries, seed - offset)
    write_files(directory, {**inputs.files, "beam.dat": beam})
    return Command(
        ("shieldhit", "-N", str(offset), str(directory)),
        watch=f"shieldhit_{offset:04d}.log",
        results=("*.bdo",),
        logs=("shieldhit_*.log",),
    )
