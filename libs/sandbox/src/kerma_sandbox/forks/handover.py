"""Objects that a nursery gets from its user when it starts, before any order and hostile byte.

They travel pickled, in one direction: the user never unpickles anything.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kerma_sandbox.forks.nursery import CONTROL

_MOST = 1 << 17
"""Bytes of the pickled object."""

ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"}


def packed(handed: object) -> bytes:
    """Return what ``Start.first`` sends. Raises ValueError for an object that is too large."""
    body = pickle.dumps(handed)
    if len(body) > _MOST:
        raise ValueError(f"{len(body)} bytes are too many to hand over")
    return body


def received() -> Any:
    """Return the object in the nursery; call it once, before ``serve``."""
    return pickle.loads(os.read(CONTROL, _MOST))  # noqa: S301 - its user is trusted


def code_of(modules: Iterable[str]) -> tuple[Path, ...]:
    """Return the folders of the code of modules that are not Kerma's own, which a nursery reads."""
    found = []
    for name in sorted({module.partition(".")[0] for module in modules}):
        file = getattr(sys.modules.get(name), "__file__", None)
        if file and not name.startswith("kerma_"):
            found.append(Path(file).resolve().parents[1])
    return tuple(found)


def environment(code: Iterable[Path]) -> dict[str, str]:
    """Return the environment of a nursery that imports such code."""
    path = os.pathsep.join(map(str, code))
    return {**ENVIRONMENT, "PYTHONPATH": path} if path else dict(ENVIRONMENT)
