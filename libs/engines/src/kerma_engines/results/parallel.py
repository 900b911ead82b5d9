"""Process large arrays block by block, on all processors where threads can be started.

A block and its scratch arrays stay in the caches, so that a chain of numpy operations costs one
pass over memory and no temporary of the full size. numpy releases the GIL meanwhile. Bins are
independent of each other, hence the numbers don't depend on the number of threads.
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
"""The number of bins processed at a time."""

THREAD = 2 * BLOCK
"""The number of bins that justifies a thread."""

_PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def each_block(size: int, work: Work) -> None:
    """Call ``work(part, scratch, more_scratch)`` for slices ``part`` that cover ``size`` bins.

    Both scratch arrays have the length of the slice. With many bins, calls run concurrently, with
    floating-point warnings off. Exceptions from ``work`` are raised here.
    """
    threads = min(_PROCESSORS, size // THREAD)
    if threads < 2 or (pool := _pool()) is None:
        _work_through(work, 0, size)
        return
    bounds = [size * k // threads for k in range(threads + 1)]
    for _ in pool.map(partial(_work_through, work), bounds[:-1], bounds[1:]):
        pass


def _work_through(work: Work, low: int, high: int) -> None:
    scratch = np.empty((2, min(BLOCK, high - low)))
    with np.errstate(all="ignore"):
        for start in range(low, high, BLOCK):
            stop = min(start + BLOCK, high)
            one, two = scratch[:, : stop - start]
            work(slice(start, stop), one, two)


@cache
def _pool() -> ThreadPoolExecutor | None:
    """Return the threads, or None where none can start, as in a confined process."""
    pool = ThreadPoolExecutor(_PROCESSORS, thread_name_prefix="kerma-blocks")
    try:
        pool.submit(int).result()
    except RuntimeError:
        return None
    return pool
