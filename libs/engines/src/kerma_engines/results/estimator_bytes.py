"""Encode merged estimators, and decode them in a process that does not trust the one that merged.

Layout, little-endian: uint64 length of the description, the description (JSON), then all arrays as
float64 in the order of the JSON: of each page the edges of its axes, values, and errors if known.
Sums over primaries are left out.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from kerma_engines.errors import EngineError
from kerma_engines.results.estimators import Axis, Binning, Estimator, MergeClass, Page

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterable

    from kerma_engines.results.estimators import FloatArray

MOST_DESCRIPTION = 32 << 20
"""Bytes of the description."""
_LENGTH = struct.Struct("<Q")
_FLOAT = 8
_LARGEST = 2**63 - 1


class DamagedEstimators(EngineError):  # noqa: N818 - says what the bytes are
    """The bytes are not encoded estimators."""


_Text = Annotated[str, StringConstraints(max_length=1 << 16, pattern=r"^[^\x00]*$")]
_Count = Annotated[int, Field(ge=0, le=_LARGEST)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _Axis(_Strict):
    name: _Text
    unit: _Text
    binning: Binning
    edges: Annotated[int, Field(ge=2, le=_LARGEST)]


class _Page(_Strict):
    number: Annotated[int, Field(ge=0, le=2**31 - 1)]
    name: _Text
    unit: _Text
    merge: MergeClass
    axes: Annotated[tuple[_Axis, ...], Field(max_length=8)]
    size: _Count
    errors: bool
    freedom: _Count | None
    metadata: dict[_Text, _Text]


class _Estimator(_Strict):
    name: _Text
    file: _Text
    primaries: _Count
    metadata: dict[_Text, _Text]
    pages: tuple[_Page, ...]


_DESCRIPTION = TypeAdapter(tuple[_Estimator, ...])


def encode_estimators(estimators: Iterable[Estimator]) -> list[memoryview]:
    """Return the encoding in parts, which share the arrays."""
    arrays: list[FloatArray] = []
    description = orjson.dumps([_describe(found, arrays) for found in estimators])
    description += b" " * (-len(description) % _FLOAT)  # aligns the arrays
    parts = [np.ascontiguousarray(array, dtype="<f8").data.cast("B") for array in arrays]
    return [memoryview(_LENGTH.pack(len(description)) + description), *parts]


def decode_estimators(data: bytes | mmap.mmap) -> tuple[Estimator, ...]:
    """Decode and check; the arrays borrow ``data``. Raises DamagedEstimators."""
    if len(data) < _LENGTH.size:
        raise DamagedEstimators("the estimators have no description")
    (length,) = _LENGTH.unpack(data[: _LENGTH.size])
    start = _LENGTH.size + length
    if length > MOST_DESCRIPTION or start > len(data):
        raise DamagedEstimators(f"a description of {length} bytes does not fit the estimators")
    try:
        described = _DESCRIPTION.validate_json(data[_LENGTH.size : start])
    except ValidationError as error:
        raise DamagedEstimators(f"the description is damaged: {error.errors()[0]['msg']}") from None
    if len(data) - start != _FLOAT * sum(_numbers(page) for e in described for page in e.pages):
        raise DamagedEstimators("the arrays have other sizes than described")
    _check_names(described)
    arrays = _Arrays(data, start)
    return tuple(
        Estimator(
            found.name,
            found.file,
            found.primaries,
            tuple(_page(page, arrays) for page in found.pages),
            found.metadata,
        )
        for found in described
    )


class _Arrays:
    """Takes consecutive arrays."""

    def __init__(self, data: bytes | mmap.mmap, offset: int) -> None:
        self._data = data
        self._offset = offset

    def take(self, size: int) -> FloatArray:
        array = np.frombuffer(self._data, "<f8", size, self._offset) if size else np.empty(0)
        self._offset += _FLOAT * size
        return array


def _describe(estimator: Estimator, arrays: list[FloatArray]) -> dict[str, Any]:
    return {
        "name": estimator.name,
        "file": estimator.file,
        "primaries": int(estimator.primaries),
        "metadata": dict(estimator.metadata),
        "pages": [_describe_page(page, arrays) for page in estimator.pages],
    }


def _describe_page(page: Page, arrays: list[FloatArray]) -> dict[str, Any]:
    arrays.extend(axis.edges for axis in page.axes)
    arrays.append(page.values)
    if page.errors is not None:
        arrays.append(page.errors)
    return {
        "number": int(page.number),
        "name": page.name,
        "unit": page.unit,
        "merge": page.merge.value,
        "axes": [
            {"name": a.name, "unit": a.unit, "binning": a.binning.value, "edges": a.edges.size}
            for a in page.axes
        ],
        "size": page.values.size,
        "errors": page.errors is not None,
        "freedom": None if page.freedom is None else int(page.freedom),
        "metadata": dict(page.metadata),
    }


def _numbers(page: _Page) -> int:
    """Return how many numbers follow for a page. Raises DamagedEstimators for other shapes."""
    if page.merge is MergeClass.CONCAT:
        fits = not page.axes
    else:
        fits = page.size == math.prod(axis.edges - 1 for axis in page.axes)
    if not fits:
        raise DamagedEstimators(f"page {page.number} has {page.size} values for other axes")
    return sum(axis.edges for axis in page.axes) + page.size * (1 + page.errors)


def _check_names(described: tuple[_Estimator, ...]) -> None:
    """Raise DamagedEstimators for two estimators of one name, or two pages of one number."""
    listed: list[list[object]] = [[found.name for found in described]]
    listed += [[page.number for page in found.pages] for found in described]
    if any(len({*some}) != len(some) for some in listed):
        raise DamagedEstimators("a name or the number of a page comes twice")


def _page(found: _Page, arrays: _Arrays) -> Page:
    axes = tuple(
        Axis(axis.name, axis.unit, arrays.take(axis.edges), axis.binning) for axis in found.axes
    )
    values = arrays.take(found.size)
    errors = arrays.take(found.size) if found.errors else None
    return Page(
        found.number,
        found.name,
        found.unit,
        found.merge,
        axes,
        values,
        errors,
        metadata=found.metadata,
        freedom=found.freedom,
    )
