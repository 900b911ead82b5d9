"""Read SHIELD-HIT12A results: recognise the format, and read all files of a task."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from kerma_engines.adapter.outputs import read_outputs
from kerma_engines.results.binary import BinaryFile
from kerma_engines.shieldhit.read.bdo2019 import FORMAT, read_bdo2019
from kerma_engines.shieldhit.read.old import read_bdo2016, read_bin2010
from kerma_engines.shieldhit.read.tokens import MAGIC, read_header, read_tokens

if TYPE_CHECKING:
    from pathlib import Path

    from kerma_engines.adapter.port import InputSet
    from kerma_engines.results.estimators import Estimator

_TASK_SUFFIX = re.compile(r"_[0-9]{4}$")
_BDO2016, _BDO2019 = 1, 2


def is_bdo(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is a BDO file."""
    return head.startswith(MAGIC)


def is_bin2010(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` has the format of 2010."""
    return len(head) >= 18 and head[:4] == head[14:18] == b"\x0a\0\0\0"


def core_name(stem: str) -> str:
    """Return the name of an output: the file's stem without the task's ``_0001``."""
    return _TASK_SUFFIX.sub("", stem)


def read_bdo_file(path: Path) -> Estimator:
    """Read the estimator in a BDO file of either format. Raises ReadError."""
    with BinaryFile(path) as file:
        read_header(file)
        version = _format(file)
        file.rewind(24)
        if version == _BDO2019:
            return read_bdo2019(file, core_name(path.stem))
        if version == _BDO2016:
            return read_bdo2016(file, core_name(path.stem))
        raise file.error(f"unknown format number {version}", 0)


def read_bin2010_file(path: Path) -> Estimator:
    """Read the estimator in a file of 2010. Raises ReadError."""
    with BinaryFile(path) as file:
        return read_bin2010(file, core_name(path.stem))


def read(directory: Path, inputs: InputSet) -> tuple[Estimator, ...]:
    """Read the estimators of a finished task, in the order of the output map. Raises ReadError."""
    files = {core_name(path.stem): path for path in sorted(directory.glob("*.bdo"))}

    def find(file: str) -> Path | None:
        # A name may itself end like the number of a task, so cut nothing off here.
        return files.get(file.removesuffix(".bdo"))

    return read_outputs(inputs, find, files.values(), read_bdo_file)


def _format(file: BinaryFile) -> int:
    """Return the format number, which stands before the data; files of 2016 have none."""
    for token in read_tokens(file):
        if token.tag == FORMAT and isinstance(token.value, np.ndarray) and token.value.size:
            return int(token.value[0])
    return _BDO2016
