"""Encode merge states, so that partial results can be kept between tasks.

Layout: ``KMS1``, a little-endian uint32 length, that many bytes of JSON (keys sorted), then every
array as little-endian float64 in the order of the JSON. The same state gives the same bytes.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from kerma_engines.errors import EngineError
from kerma_engines.results.estimators import Axis, Binning, MergeClass, Page
from kerma_engines.results.merge import EstimatorState, MergeState, PageState
from kerma_engines.results.tallies import KINDS

if TYPE_CHECKING:
    from kerma_engines.results.estimators import FloatArray

MAGIC = b"KMS1"


class StateError(EngineError):
    """The bytes are not a stored merge state."""


def dump_state(state: MergeState) -> bytes:
    """Encode ``state``."""
    arrays: list[FloatArray] = []
    head = json.dumps(
        [_describe(estimator, arrays) for estimator in state.estimators.values()],
        sort_keys=True,
        separators=(",", ":"),
    ).encode()
    parts = [np.ascontiguousarray(array, dtype="<f8").data for array in arrays]
    return b"".join([MAGIC, struct.pack("<I", len(head)), head, *parts])


def load_state(data: bytes) -> MergeState:
    """Decode the bytes of ``dump_state``; the arrays borrow ``data``. Raises StateError."""
    if data[:4] != MAGIC or len(data) < 8:
        raise StateError("not a merge state")
    (length,) = struct.unpack_from("<I", data, 4)
    try:
        source = _Arrays(data, 8 + length)
        described = json.loads(data[8 : 8 + length])
        estimators = [_estimator(item, source) for item in described]
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(f"damaged merge state: {error}") from error
    if source.offset != len(data):
        raise StateError("damaged merge state: bytes left over")
    return MergeState({estimator.name: estimator for estimator in estimators})


class _Arrays:
    """Reads consecutive arrays."""

    def __init__(self, data: bytes, offset: int) -> None:
        self.data = data
        self.offset = offset

    def take(self, size: int) -> FloatArray:
        array = np.frombuffer(self.data, "<f8", size, self.offset) if size else np.empty(0)
        self.offset += 8 * size
        return array


def _describe(estimator: EstimatorState, arrays: list[FloatArray]) -> dict[str, Any]:
    return {
        "name": estimator.name,
        "file": estimator.file,
        "primaries": estimator.primaries,
        "tasks": estimator.tasks,
        "metadata": dict(estimator.metadata),
        "pages": [_describe_page(state, arrays) for state in estimator.pages.values()],
    }


def _describe_page(state: PageState, arrays: list[FloatArray]) -> dict[str, Any]:
    page, tally = state.page, state.tally
    arrays.extend(axis.edges for axis in page.axes)
    arrays.extend(tally.arrays)
    return {
        "number": page.number,
        "name": page.name,
        "unit": page.unit,
        "class": page.merge.value,
        "metadata": dict(page.metadata),
        "axes": [[axis.name, axis.unit, axis.binning.value, axis.edges.size] for axis in page.axes],
        "tally": type(tally).__name__,
        "weight": tally.weight,
        "freedom": tally.freedom,
        "sizes": [array.size for array in tally.arrays],
    }


def _estimator(item: dict[str, Any], source: _Arrays) -> EstimatorState:
    pages = (_page(page, source) for page in item["pages"])
    return EstimatorState(
        item["name"],
        item["file"],
        item["primaries"],
        item["tasks"],
        item["metadata"],
        {state.page.number: state for state in pages},
    )


def _page(item: dict[str, Any], source: _Arrays) -> PageState:
    axes = tuple(
        Axis(name, unit, source.take(size), Binning(binning))
        for name, unit, binning, size in item["axes"]
    )
    arrays = [source.take(size) for size in item["sizes"]]
    page = Page(
        item["number"],
        item["name"],
        item["unit"],
        MergeClass(item["class"]),
        axes,
        np.empty(0),
        metadata=item["metadata"],
    )
    return PageState(page, KINDS[item["tally"]](item["weight"], item["freedom"], arrays))
