"""An engine for tests of results, without a program: arrays of sums and of squares."""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerma_engines.adapter.packing import pack_outputs, take_outputs
from kerma_engines.adapter.port import InputSet
from kerma_engines.errors import ReadError
from kerma_engines.results.estimators import Axis, Estimator, MergeClass, Page

OUTPUTS = ("depth", "a map", "entrance")
"""Names of the test engine's outputs, deliberately not in alphabetical order."""
PAGES = 3
"""Pages of each output, unless the inputs say otherwise."""


class TallyEngine:
    """An engine whose tasks write one array of sums and one of squares per output."""

    name = "tally"

    def read(self, directory: Path, inputs: InputSet) -> tuple[Estimator, ...]:
        """Return the pages of every output; the second output has two axes."""
        found = []
        n_pages = int(inputs.options.get("pages", PAGES))
        for number, output in enumerate(inputs.outputs):
            try:
                stored = np.load(directory / output.file, allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                raise ReadError(output.file, "byte 0", str(error)) from error
            primaries, sums, squares = int(stored[0, 0]), stored[1], stored[2]
            axes = _axes(sums.size, two=number == 1)
            pages = tuple(
                Page(
                    n,
                    "DOSE",
                    "Gy/prim",
                    MergeClass.PER_PRIMARY,
                    axes,
                    factor * sums / primaries,
                    sums=factor * sums,
                    squares=factor**2 * squares,
                    metadata={"page_filter_name": f"filter {n}"},
                )
                for n, factor in enumerate(range(1, n_pages + 1))
            )
            found.append(Estimator(output.name, output.file, primaries, pages, {"geotyp": "CYL"}))
        return tuple(found)


class EndlessEngine(TallyEngine):
    """An engine whose outputs keep its reader busy for ever."""

    name = "endless"

    def read(self, directory: Path, inputs: InputSet) -> tuple[Estimator, ...]:
        """Never return."""
        while True:
            pass


class DyingEngine(TallyEngine):
    """An engine whose outputs kill their reader."""

    name = "dying"

    def read(self, directory: Path, inputs: InputSet) -> tuple[Estimator, ...]:
        """End as a process does that is killed."""
        signal.pthread_kill(threading.get_ident(), signal.SIGKILL)
        raise AssertionError("still alive")


def _axes(size: int, *, two: bool) -> tuple[Axis, ...]:
    z = Axis.linear("Position (Z)", "cm", 0, 20, size // 2 if two else size)
    return (Axis.linear("Position (X)", "cm", -1, 1, 2), z) if two else (z,)


def engines(name: str) -> Any:
    """Return the engines of these tests by name."""
    return {"tally": TallyEngine, "endless": EndlessEngine, "dying": DyingEngine}[name]()


def task_output(
    folder: Path,
    index: int,
    *,
    primaries: int,
    bins: int = 200,
    outputs: Sequence[str] = OUTPUTS,
) -> bytes:
    """Return the output of a task: different for each task, the same for each attempt."""
    rng = np.random.default_rng(index)
    work = folder / f"task-{index}"
    work.mkdir(parents=True, exist_ok=True)
    for name in outputs:
        sums = rng.random(bins) * primaries
        weight = np.full(bins, primaries, dtype=float)
        with (work / f"{name}.npy").open("wb") as file:
            np.save(file, np.stack([weight, sums, sums**2]))
    kept = folder / f"kept-{index}"
    taken = take_outputs(work, ("*.npy",), kept, 1 << 30)
    body = b"".join(pack_outputs(kept, taken))
    shutil.rmtree(kept)
    return body
