"""Reading and merging results, compared with bare numpy and with pymchelper."""

from __future__ import annotations

import math
import struct
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from kerma_engines.catalogue.reading import read_file
from kerma_engines.results.merge import MergeState
from kerma_tools.bench.figure import Figure
from kerma_tools.bench.run import limit

if TYPE_CHECKING:
    from kerma_engines.results.estimators import Estimator, FloatArray

READ_SHAPE = (1000, 100, 100)
TEXT_SHAPE = (200, 100, 100)
TEXT_SECONDS = 9.0
"""Half of a worker's limit of 180 s, for ten times as many bins."""
MERGE_SHAPE = (100, 100, 100)
BINS = math.prod(MERGE_SHAPE)
TASKS = 32
ROUNDS = 5
LIST_BINS = 20_000
"""Bins that pure Python averages; its time is proportional to them."""


def engine_figures() -> Iterator[Figure]:
    """Measure reading, merging and peak memory."""
    yield read_bdo()
    yield read_text()
    with _task_files() as paths:
        yield merge_files(paths)
        yield merge_over_lists(paths)
        yield merge_memory(paths)


def read_bdo() -> Figure:
    """Compare reading 10 M bins from a file of SHIELD-HIT12A with reading its bare bytes."""
    with TemporaryDirectory(prefix="kerma-bench-") as folder:
        path = Path(folder) / "mesh_0001.bdo"
        _write_bdo(path, np.random.default_rng(1).random(math.prod(READ_SHAPE)), READ_SHAPE)
        ours, bare = _alternate(lambda: read_file(path), lambda: np.fromfile(path, "<f8"))
    return Figure("read 10 M bins BDO", ours, "s", "numpy.fromfile", bare, 3.0, True)


def read_text() -> Figure:
    """Measure the processor time of reading 2 M bins from a file of TOPAS, which is text."""
    with TemporaryDirectory(prefix="kerma-bench-") as folder:
        path = Path(folder) / "mesh.csv"
        _write_csv(path, np.random.default_rng(1).random(math.prod(TEXT_SHAPE)), TEXT_SHAPE)
        began = time.process_time()
        read_file(path)
        took = time.process_time() - began
    return limit("read 2 M bins of text", took, "s", TEXT_SECONDS)


def merge_files(paths: list[Path]) -> Figure:
    """Compare merging files with errors to pymchelper's streaming average of the same files."""
    from pymchelper.estimator import ErrorEstimate
    from pymchelper.input_output import fromfilelist

    names = [str(path) for path in paths]
    ours, peer = _alternate(
        lambda: _merge(paths),
        lambda: fromfilelist(names, error=ErrorEstimate.stderr, nan=False),
    )
    bins = len(paths) * BINS / 1e6
    return Figure("merge 32 x 1 M bins", bins / ours, "M bins/s", "pymchelper", bins / peer, 5.0)


def merge_over_lists(paths: list[Path]) -> Figure:
    """Compare merging pages in memory with the same mean and error over Python lists."""
    tasks = [read_file(path) for path in paths]
    lists = [task.pages[0].values[:LIST_BINS].tolist() for task in tasks]
    ours, peer = _alternate(lambda: _fold(tasks), lambda: _merge_lists(lists))
    rate, list_rate = len(paths) * BINS / ours / 1e6, len(paths) * LIST_BINS / peer / 1e6
    return Figure("merge pages in memory", rate, "M bins/s", "Python lists", list_rate, 100.0)


def merge_memory(paths: list[Path]) -> Figure:
    """Measure peak memory of reading and merging files, over the size of one page."""
    _merge(paths[:2])
    tracemalloc.start()
    _merge(paths)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return Figure("peak memory of a merge", peak, "bytes", "one page", 8.0 * BINS, 6.0, True)


def _alternate(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """Return the median seconds of both, run in turns so that other load slows both alike."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for taken, action in zip(times, (ours, theirs), strict=True):
            began = time.perf_counter()
            action()
            taken.append(time.perf_counter() - began)
    return median(times[0]), median(times[1])


def _merge(paths: list[Path]) -> tuple[Estimator, ...]:
    return MergeState.fold(MergeState.of((read_file(path),)) for path in paths).result()


def _fold(tasks: list[Estimator]) -> tuple[Estimator, ...]:
    return MergeState.fold([MergeState.of((task,)) for task in tasks]).result()


def _merge_lists(tasks: list[list[float]]) -> tuple[list[float], list[float]]:
    """Return mean and standard error of equal tasks, bin by bin, without arrays."""
    mean, squares = [0.0] * len(tasks[0]), [0.0] * len(tasks[0])
    for count, task in enumerate(tasks, 1):
        deviations = [value - m for value, m in zip(task, mean, strict=True)]
        mean = [m + d / count for m, d in zip(mean, deviations, strict=True)]
        squares = [
            s + d * (value - m)
            for s, d, value, m in zip(squares, deviations, task, mean, strict=True)
        ]
    n = len(tasks)
    return mean, [(s / (n - 1) / n) ** 0.5 for s in squares]


@contextmanager
def _task_files() -> Iterator[list[Path]]:
    random = np.random.default_rng(2)
    with TemporaryDirectory(prefix="kerma-bench-") as folder:
        paths = [Path(folder) / f"mesh_{task:04}.bdo" for task in range(1, TASKS + 1)]
        for path in paths:
            _write_bdo(path, random.random(BINS), MERGE_SHAPE)
        yield paths


def _write_csv(path: Path, values: FloatArray, shape: tuple[int, int, int]) -> None:
    """Write a file of one quantity over a mesh in TOPAS's format."""
    axes = zip("XYZ", shape, strict=True)
    heads = ("TOPAS Version: 3.9", "Parameter File: run.txt", "Results for scorer dose")
    columns = "DoseToMedium ( Gy ) : Sum   Standard_Deviation   Histories_with_Scorer_Active   "
    with path.open("w") as file:
        file.writelines(f"# {head}\n" for head in heads)
        file.write("# Scored in component: mesh\n")
        file.writelines(f"# {name} in {n} bins of 0.1 cm\n" for name, n in axes)
        file.write(f"# {columns}\n")
        for (x, y, z), value in zip(np.ndindex(*shape), values.tolist(), strict=True):
            file.write(f"{x}, {y}, {z}, {value!r}, {value / 7!r}, 1000\n")


def _write_bdo(path: Path, values: FloatArray, shape: tuple[int, int, int]) -> None:
    """Write a file of one dose page over a mesh, 1000 primaries, in SHIELD-HIT12A's format of 2019."""

    def token(tag: int, kind: str, numbers: object) -> bytes:
        array = np.atleast_1d(np.asarray(numbers, dtype=kind))
        return struct.pack("<Q8sQ", tag, kind.encode(), array.size) + array.tobytes()

    with path.open("wb") as file:
        file.write(struct.pack("<6s2s16s", b"xSH12A", b"II", b"1.1"))
        for tag, kind, numbers in (
            *((0x05, "<i8", 2), (0xAA00, "<i8", 1000), (0xE000, "S8", b"MSH")),
            *((0xE002, "<f8", [0.0] * 3), (0xE003, "<f8", [1.0] * 3), (0xE004, "<i8", shape)),
            *((0xDD30, "<i8", 5), (0xDD32, "<i8", 2), (0xDDBC, "S8", b"MeV/g")),
            (0xDDBB, "<f8", values),
        ):
            file.write(token(tag, kind, numbers))
