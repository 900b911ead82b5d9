"""Estimators as JSON, for programs that read results without this library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kerma_engines.results.estimators import Estimator, FloatArray, Page


def estimators_json(estimators: Iterable[Estimator]) -> bytes:
    """Encode estimators as a JSON list.

    Each has ``name``, ``file``, ``primaries`` and ``pages``. A page has ``name``, ``unit``,
    ``class`` (how it merges), ``filter``, ``note``, ``shape``, ``axes`` (``name``, ``unit``,
    ``edges``, ``binning``), flat ``values`` and ``errors`` with the first axis fastest, and the
    ``degrees_of_freedom`` of the errors. NaN, infinity and unknown errors are null.
    """
    described = [
        {
            "name": _text(estimator.name),
            "file": _text(estimator.file),
            "primaries": estimator.primaries,
            "pages": [_page(page) for page in estimator.pages],
        }
        for estimator in estimators
    ]
    return orjson.dumps(described, option=orjson.OPT_SERIALIZE_NUMPY)


def _page(page: Page) -> dict[str, Any]:
    return {
        "name": page.name,
        "unit": page.unit,
        "class": page.merge.value,
        "filter": filter_of(page.metadata),
        "note": note_of(page.metadata),
        "shape": page.shape,
        "axes": [
            {
                "name": axis.name,
                "unit": axis.unit,
                "edges": _native(axis.edges),
                "binning": axis.binning.value,
            }
            for axis in page.axes
        ],
        "values": _native(page.values),
        "errors": None if page.errors is None else _native(page.errors),
        "degrees_of_freedom": page.freedom,
    }


def filter_of(metadata: Mapping[str, str]) -> str:
    """Return the name of the filter that a page was scored with, or ""."""
    return metadata.get("filter_name") or metadata.get("page_filter_name") or ""


def note_of(metadata: Mapping[str, str]) -> str:
    """Return what a reader should know about how a page was scored and merged, or ""."""
    return "; ".join(filter(None, (metadata.get("note"), metadata.get("merge_note"))))


def _text(name: str) -> str:
    """Return a file name of any bytes as valid JSON text."""
    return name.encode(errors="backslashreplace").decode()


def _native(array: FloatArray) -> FloatArray:
    """Return the array as orjson needs it: contiguous, in native byte order."""
    return np.ascontiguousarray(array, dtype=np.float64)
