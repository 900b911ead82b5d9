"""Large arrays, block by block and on all processors.

A block and its scratch stay in the caches, so that a chain of numpy operations costs one pass
over memory and no temporary of the arrays' size. numpy lets other threads run meanwhile; bins do
not depend on each other, hence the numbers do not depend on how many threads there are.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from kerma_engines.results.estimators import FloatArray

    Work = Callable[[slice, FloatArray, FloatArray], None]

BLOCK = 131_072
"""Bins worked on at a time."""

THREAD = 2 * BLOCK
"""Bins that are worth a thread."""

_PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def each_block(size: int, work: Work) -> None:
    """Call ``work(part, scratch, more_scratch)`` for slices ``part`` that cover ``size`` bins.

    Both scratch arrays have the length of the slice. Calls run at the same time when there are many
    bins, without warnings of floating-point operations. What ``work`` raises is raised here.
    """
    threads = min(_PROCESSORS, size // THREAD)
    if threads < 2:
        _work_through(work, 0, size)
        return
    bounds = [size * k // threads for k in range(threads + 1)]
    for _ in _pool().map(partial(_work_through, work), bounds[:-1], bounds[1:]):
        pass


def _work_through(work: Work, low: int, high: int) -> None:
    scratch = np.empty((2, min(BLOCK, high - low)))
    with np.errstate(all="ignore"):
        for start in range(low, high, BLOCK):
            stop = min(start + BLOCK, high)
            one, two = scratch[:, : stop - start]
            work(slice(start, stop), one, two)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_PROCESSORS, thread_name_prefix="kerma-blocks")
