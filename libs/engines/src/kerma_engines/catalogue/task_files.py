"""Merge result files of tasks given as paths: in a fixed order, each file once.

Sums of rounded numbers depend on their order, but results must not. Files are therefore sorted by
path, with digits compared as numbers, whatever the order in which they were given.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from kerma_engines.catalogue.reading import read_file, shown
from kerma_engines.errors import EngineError
from kerma_engines.regular import open_regular
from kerma_engines.results.merge import Fold, MergeError, MergeState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kerma_engines.results.estimators import Estimator

_HEAD = 1 << 20


def in_task_order(paths: Sequence[Path]) -> list[Path]:
    """Return the paths in an order that does not depend on how they were given.

    Raises EngineError when two are the same file.
    """
    given: dict[Path, Path] = {}
    for path in paths:
        file = path.resolve()
        if file in given:
            other = "" if given[file] == path else f", also as {shown(given[file])}"
            raise EngineError(f"{shown(path)} is given twice{other}")
        given[file] = path
    return [given[file] for file in sorted(given, key=_natural)]


def alike(paths: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Return pairs of files with the same contents: most likely the same task twice.

    Unreadable files are left out.
    """
    groups: dict[object, list[Path]] = {None: list(paths)}
    for limit in (_HEAD, None):
        finer: defaultdict[object, list[Path]] = defaultdict(list)
        for group in groups.values():
            for path in group if len(group) > 1 else ():
                if (mark := _mark(path, limit)) is not None:
                    finer[mark].append(path)
        groups = dict(finer)
    return [(group[0], other) for group in groups.values() for other in group[1:]]


def read_files(paths: Sequence[Path]) -> list[Estimator]:
    """Read the estimators in some files, in order. Raises ReadError.

    Each estimator carries its file's name, or its path where several files share a name.
    """
    names = Counter(path.name for path in paths)
    estimators = [read_file(path) for path in paths]
    return [
        replace(estimator, file=str(path)) if names[path.name] > 1 else estimator
        for path, estimator in zip(paths, estimators, strict=True)
    ]


def merge_files(paths: Sequence[Path]) -> tuple[Estimator, ...]:
    """Merge the results of several tasks; the same bits whatever the order of ``paths``.

    Raises EngineError: ReadError for an unreadable file, and an error that names the file for one
    that does not fit those before it.
    """
    fold = Fold()
    for path in in_task_order(paths):
        estimator = read_file(path)
        try:
            fold.add(MergeState.of((estimator,)))
        except MergeError as error:
            raise EngineError(f"{shown(path)}: {error}") from error
        del estimator  # don't keep a task in memory while the next one is read
    return fold.closed().result()


def _natural(path: Path) -> tuple[list[str | int], str]:
    """Split a path into text and numbers in turn, beginning with text; the path itself breaks ties."""
    pieces = re.split(r"([0-9]+)", str(path))
    return [int(piece) if at % 2 else piece for at, piece in enumerate(pieces)], str(path)


def _mark(path: Path, limit: int | None) -> tuple[int, bytes] | None:
    """Return the size and digest of a file's beginning, or of all of it."""
    try:
        with open_regular(path) as file:
            if limit is None:
                digest = hashlib.file_digest(file, "sha256").digest()
            else:
                digest = hashlib.sha256(file.read(limit)).digest()
            return path.stat().st_size, digest
    except OSError:
        return None
