"""The JSON of pages and estimators, as the YAPTIDE interface and its programs read it.

``values`` are flat in Fortran order (first axis fastest); axes give bin centres. ``errors``,
``error_kind``, ``degrees_of_freedom``, ``edges`` and ``binning`` are additions that older readers
ignore. Numbers that are not finite become null. Keys are sorted, so equal pages give equal bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from kerma_engines.results.estimators import Axis, Estimator, Page

_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY


def page_json(page: Page) -> bytes:
    """Return UTF-8 JSON of one page."""
    from kerma_engines.results.estimators import ErrorKind

    data: dict[str, Any] = {"name": page.name, "unit": page.unit, "values": page.values}
    if page.errors is not None:
        data["errors"] = page.errors
        data["error_kind"] = ErrorKind.STANDARD_ERROR.value
        if page.freedom is not None:
            data["degrees_of_freedom"] = page.freedom
    body: dict[str, Any] = {
        "dimensions": len(page.axes),
        "data": data,
        "metadata": {
            "dettyp": page.name,
            **page.metadata,
            "name": page.name,
            "page_number": str(page.number),
            "unit": page.unit,
        },
    }
    for number, axis in enumerate(page.axes, start=1):
        body[f"axis_dim{number}"] = _axis(axis)
    return orjson.dumps(body, option=_OPTIONS)


def _axis(axis: Axis) -> dict[str, Any]:
    return {
        "name": axis.name,
        "unit": axis.unit,
        "values": axis.centres,
        "edges": axis.edges,
        "binning": axis.binning.value,
    }


def metadata_json(estimator: Estimator, *, tasks: int, expected: int, partial: bool) -> bytes:
    """Return UTF-8 JSON of an estimator's metadata, in which every value is a string.

    ``tasks`` of ``expected`` tasks are in the result set; the estimator's own ``tasks_merged`` is
    lower when some of them lack the estimator.
    """
    return orjson.dumps(
        {
            "tasks_merged": str(tasks),
            **estimator.metadata,
            "file_name": estimator.file,
            "number_of_primaries": str(estimator.primaries),
            "partial": "true" if partial else "false",
            "primaries": str(estimator.primaries),
            "tasks_expected": str(expected),
        },
        option=_OPTIONS,
    )
