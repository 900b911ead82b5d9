"""Results, estimators and log files: the shapes that clients of YAPTIDE read."""

from __future__ import annotations

from typing import Any

import pytest

from kit.running.clients.visitor import Visitor

NAMES = ["depth_dose", "dose_map", "proton_fluence"]
"""Names of the project's outputs, in their order."""


def got(ada: Visitor, path: str, **query: Any) -> dict[str, Any]:
    answer = ada.http.get(path, params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_only_the_job_gives_all_estimators_in_the_order_of_outputs(ada: Visitor, job: str) -> None:
    body = got(ada, "/results", job_id=job)
    assert set(body) == {"message", "estimators"}
    assert [estimator["name"] for estimator in body["estimators"]] == NAMES
    for estimator in body["estimators"]:
        assert set(estimator) == {"name", "metadata", "pages"}


def test_page_parameters_without_an_estimator_are_ignored(ada: Visitor, job: str) -> None:
    assert "estimators" in got(ada, "/results", job_id=job, page_numbers="0")


def test_an_estimator_is_at_the_top_level(ada: Visitor, job: str) -> None:
    body = got(ada, "/results", job_id=job, estimator_name="dose_map")
    assert set(body) == {"message", "name", "metadata", "pages"}
    page = body["pages"][0]
    assert page["dimensions"] == 2
    columns, rows = (len(page[axis]["values"]) for axis in ("axis_dim1", "axis_dim2"))
    assert len(page["data"]["values"]) == columns * rows


def test_an_unknown_estimator_is_404(ada: Visitor, job: str) -> None:
    answer = ada.http.get("/results", params={"job_id": job, "estimator_name": "none"})
    assert answer.status_code == 404


def test_a_page_number_wins_over_ranges(ada: Visitor, job: str) -> None:
    query = {"job_id": job, "estimator_name": "depth_dose"}
    body = got(ada, "/results", **query, page_number=0, page_numbers="7")
    assert set(body) == {"message", "page"}
    assert set(body["page"]) >= {"dimensions", "data", "axis_dim1", "metadata"}


@pytest.mark.parametrize("query", [{"page_number": 99}, {"estimator_name": "x", "page_number": 0}])
def test_an_unknown_page_or_its_estimator_is_404(
    ada: Visitor, job: str, query: dict[str, Any]
) -> None:
    """YAPTIDE answers 500."""
    params = {"job_id": job, "estimator_name": "depth_dose", **query}
    assert ada.http.get("/results", params=params).status_code == 404


@pytest.mark.parametrize(
    ("ranges", "found"), [("0", [0]), ("0-3,9", [0]), ("5,8", []), ("3-1", [])]
)
def test_ranges_skip_what_does_not_exist(
    ada: Visitor, job: str, ranges: str, found: list[int]
) -> None:
    query = {"job_id": job, "estimator_name": "depth_dose", "page_numbers": ranges}
    body = got(ada, "/results", **query)
    assert set(body) == {"message", "pages"}
    assert [int(page["metadata"]["page_number"]) for page in body["pages"]] == found


@pytest.mark.parametrize("ranges", ["", "a", "1-", "1--2", "0,,1", "0-99999999999999999999"])
def test_malformed_ranges_are_named(ada: Visitor, job: str, ranges: str) -> None:
    """YAPTIDE answers 500, and reads ranges of any size."""
    params = {"job_id": job, "estimator_name": "depth_dose", "page_numbers": ranges}
    answer = ada.http.get("/results", params=params)
    assert answer.status_code == 400
    assert "page_numbers" in answer.json()


def test_metadata_of_pages_are_strings(ada: Visitor, job: str) -> None:
    for estimator in got(ada, "/results", job_id=job)["estimators"]:
        for page in estimator["pages"]:
            assert all(isinstance(value, str) for value in page["metadata"].values())


def test_estimators_list_their_pages(ada: Visitor, job: str) -> None:
    body = got(ada, "/estimators", job_id=job)
    assert set(body) == {"message", "estimators_metadata"}
    assert [estimator["name"] for estimator in body["estimators_metadata"]] == NAMES
    page = body["estimators_metadata"][1]["pages_metadata"][0]
    assert set(page) == {"page_number", "page_name", "page_dimension"}
    assert (page["page_number"], page["page_dimension"]) == (0, 2)


def test_log_files_are_texts_by_name(ada: Visitor, job: str) -> None:
    body = got(ada, "/logfiles", job_id=job, estimator_name="tolerated", page_numbers="0")
    assert set(body) == {"message", "logfiles"}
    assert body["logfiles"]
    assert all(isinstance(text, str) for text in body["logfiles"].values())


@pytest.mark.parametrize("path", ["/results", "/estimators", "/logfiles"])
def test_a_job_without_any_is_404(ada: Visitor, body: dict[str, Any], path: str) -> None:
    waiting = ada.submit({**body, "ntasks": 1, "sim_type": "fluka"})
    try:
        answer = ada.http.get(path, params={"job_id": waiting})
        assert answer.status_code == 404
        assert answer.json()["message"]
    finally:
        ada.http.delete("/jobs/direct", params={"job_id": waiting})
