"""The JSON that clients read."""

from __future__ import annotations

import json

import numpy as np

from kerma_engines.results.estimators import Axis, Estimator, MergeClass, Page
from kerma_results.pages.json_page import metadata_json, page_json


def test_a_page_in_two_dimensions() -> None:
    axes = (Axis.linear("Position (X)", "cm", 0, 2, 2), Axis.log("Energy", "MeV", 1, 100, 2))
    page = Page(
        1,
        "DOSE",
        "MeV/g",
        MergeClass.PER_PRIMARY,
        axes,
        np.array([0.1, np.nan, np.inf, 4]),
        np.array([0.0, 1e-300, -0.0, 2.5]),
        metadata={"page_filter_name": "protons", "dettyp": "Dose"},
    )
    body = page_json(page)
    assert json.loads(body) == {
        "dimensions": 2,
        "data": {
            "name": "DOSE",
            "unit": "MeV/g",
            "values": [0.1, None, None, 4.0],
            "errors": [0.0, 1e-300, -0.0, 2.5],
            "error_kind": "standard_error",
        },
        "axis_dim1": {
            "name": "Position (X)",
            "unit": "cm",
            "values": [0.5, 1.5],
            "edges": [0, 1, 2],
            "binning": "linear",
        },
        "axis_dim2": {
            "name": "Energy",
            "unit": "MeV",
            "values": axes[1].centres.tolist(),
            "edges": axes[1].edges.tolist(),
            "binning": "log",
        },
        "metadata": {
            "dettyp": "Dose",
            "name": "DOSE",
            "page_filter_name": "protons",
            "page_number": "1",
            "unit": "MeV/g",
        },
    }
    assert body.startswith(b'{"axis_dim1":{"binning"')  # sorted keys
    assert body == page_json(page)


def test_a_scalar_without_errors_has_no_axes() -> None:
    page = Page(0, "COUNT", "", MergeClass.SUM, (), np.array([7.0]))
    assert json.loads(page_json(page)) == {
        "dimensions": 0,
        "data": {"name": "COUNT", "unit": "", "values": [7.0]},
        "metadata": {"dettyp": "COUNT", "name": "COUNT", "page_number": "0", "unit": ""},
    }


def test_metadata_says_what_is_merged() -> None:
    estimator = Estimator("z", "z_.bdo", 900, (), {"geotyp": "CYL", "tasks_merged": "3"})
    found = json.loads(metadata_json(estimator, tasks=4, expected=5, partial=True))
    assert found == {
        "file_name": "z_.bdo",
        "geotyp": "CYL",
        "number_of_primaries": "900",
        "partial": "true",
        "primaries": "900",
        "tasks_expected": "5",
        "tasks_merged": "3",
    }
