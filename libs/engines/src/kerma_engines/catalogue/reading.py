"""Read a result file of any engine, recognised by content rather than name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kerma_engines.errors import ReadError
from kerma_engines.fluka.read.read import is_fluka, read_fluka_file
from kerma_engines.geant4.read.alone import is_dump, is_result, read_dump_file, read_result_file
from kerma_engines.regular import open_regular
from kerma_engines.shieldhit.read.read import is_bdo, is_bin2010, read_bdo_file, read_bin2010_file
from kerma_engines.topas.read.read import is_topas, read_topas_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kerma_engines.results.estimators import Estimator

_FORMATS: tuple[tuple[Callable[[bytes], bool], Callable[[Path], Estimator]], ...] = (
    (is_bdo, read_bdo_file),
    (is_fluka, read_fluka_file),
    (is_topas, read_topas_file),
    (is_result, read_result_file),
    (is_dump, read_dump_file),
    (is_bin2010, read_bin2010_file),
)


def read_file(path: Path) -> Estimator:
    """Read the estimator in a result file of SHIELD-HIT12A, FLUKA, TOPAS or Geant4.

    Raises ReadError, with the path as given and the byte or line, when the file is from none of
    them, truncated or damaged.
    """
    try:
        return _read(path)
    except ReadError as error:
        raise ReadError(shown(path), error.where, error.reason) from error


def shown(path: Path) -> str:
    """Return the path as given, with terminal control characters as backslash escapes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(path))


def _read(path: Path) -> Estimator:
    try:
        with open_regular(path) as file:
            head = file.read(24)
    except OSError as error:
        raise ReadError(path.name, "open", error.strerror or "failed") from error
    if not head:
        raise ReadError(path.name, "byte 0", "the file is empty")
    for is_format, read in _FORMATS:
        if is_format(head):
            return _ascending(path, read(path))
    known = "SHIELD-HIT12A (BDO, bin2010), FLUKA, TOPAS (CSV) or Geant4 (kg4, dumps)"
    raise ReadError(path.name, "byte 0", f"not a result of {known}")


def _ascending(path: Path, estimator: Estimator) -> Estimator:
    """Refuse axes too narrow for their bins, whose edges would coincide."""
    for page in estimator.pages:
        for axis in page.axes:
            if not np.all(axis.edges[1:] > axis.edges[:-1]):
                raise ReadError(
                    path.name, f"page {page.number}", f"{axis.name} has bins without width"
                )
    return estimator
