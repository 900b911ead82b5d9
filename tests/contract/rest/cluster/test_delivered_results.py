"""Rows of section 4 on POST /results."""

from __future__ import annotations

import gzip
import json
import random
from typing import Any

import pytest

from kit.inputs.projects import demo_project
from kit.programs.family import PATIENCE, eventually
from kit.running.clients.deliveries import a_map, estimator, page
from kit.running.clients.script import Script, accepted, values_of

NAMES = [output["name"] for output in demo_project()["scoringManager"]["outputs"]]
"""Names of the project's outputs, in their order."""


def completed(script: Script) -> None:
    """Wait for the end of the job."""
    eventually(lambda: script.status()["job_state"] == "COMPLETED", PATIENCE, "the job's end")


def names(script: Script) -> list[str]:
    """Return the names of the stored estimators, as two paths give them alike."""
    listed = script.get("/estimators").json()["estimators_metadata"]
    stored = script.get("/results").json()["estimators"]
    found = [one["name"] for one in listed]
    assert found == [one["name"] for one in stored]
    return found


def values(script: Script) -> list[float]:
    """Return the first value of each estimator."""
    stored = script.get("/results").json()["estimators"]
    return [one["pages"][0]["data"]["values"][0] for one in stored]


def test_results_complete_the_job(script: Script) -> None:
    accepted(script.results(values_of(NAMES)))
    completed(script)
    assert names(script) == NAMES
    listed = script.owner.get("/user/simulations", params={"page_size": 1000}).json()
    entry = next(one for one in listed["simulations"] if one["job_id"] == script.job)
    assert entry["end_time"].endswith("GMT")


def test_results_in_any_order(script: Script) -> None:
    """YAPTIDE gives the k-th estimator the k-th name by alphabet."""
    posted = values_of(NAMES)
    random.Random(1).shuffle(posted)
    accepted(script.results(posted))
    completed(script)
    assert names(script) == NAMES
    assert values(script) == [1.0 + place for place in range(len(NAMES))]


@pytest.mark.parametrize("change", ["too short", "surplus", "unknown name", "twice"])
def test_results_too_short_or_surplus(script: Script, change: str) -> None:
    """YAPTIDE answers 500, to a surplus after it has stored the rest."""
    posted = {
        "too short": values_of(NAMES[:-1]),
        "surplus": [*values_of(NAMES), estimator("another", page(0, [1.0]))],
        "unknown name": values_of([*NAMES[:-1], "another"]),
        "twice": values_of([*NAMES, NAMES[0]]),
    }[change]
    answer = script.results(posted)
    assert answer.status_code == 400
    assert any(name.startswith("estimators") for name in answer.json())
    assert script.get("/estimators").status_code == 404
    assert script.status()["job_state"] == "PENDING"


def test_results_of_a_files_job(script: Script) -> None:
    """Names of the editor's outputs come back without the underscore of their files."""
    accepted(script.results(values_of([f"{name}_" for name in NAMES])))
    completed(script)
    assert names(script) == NAMES


def test_results_repeated(script: Script) -> None:
    accepted(script.results(values_of(NAMES)))
    completed(script)
    accepted(script.results(values_of(NAMES)))
    assert values(script) == [1.0 + place for place in range(len(NAMES))]


def test_results_posted_again_with_other_values(script: Script) -> None:
    """YAPTIDE overwrites the pages of a completed job."""
    accepted(script.results(values_of(NAMES)))
    completed(script)
    assert script.results(values_of(NAMES, 50.0)).status_code == 409
    assert values(script) == [1.0 + place for place in range(len(NAMES))]


@pytest.mark.parametrize("end", ["CANCELED", "FAILED"])
def test_results_after_the_end(script: Script, end: str) -> None:
    """YAPTIDE stores and serves them."""
    if end == "CANCELED":
        script.cancel()
    else:
        script.tell("FAILED", "FAILED")
    assert script.results(values_of(NAMES)).status_code == 409
    assert script.get("/results").status_code == 404
    assert script.status()["job_state"] == end


def broken() -> dict[str, dict[str, Any]]:
    """Return pages that lack something."""
    whole = page(0, [1.0])
    return {
        "metadata.page_number": {**whole, "metadata": {"name": "DOSE"}},
        "metadata.name": {**whole, "metadata": {"page_number": "0"}},
        "dimensions": {name: value for name, value in whole.items() if name != "dimensions"},
        "values": {**whole, "data": {"name": "DOSE", "unit": "Gy", "values": [1.0, 2.0]}},
    }


@pytest.mark.parametrize("what", list(broken()))
def test_results_page_needs(script: Script, what: str) -> None:
    """YAPTIDE answers 500, after it has stored what came before."""
    posted = values_of(NAMES)
    posted[-1]["pages"] = [broken()[what]]
    answer = script.results(posted)
    assert answer.status_code == 400
    assert what.rpartition(".")[2] in answer.text
    assert script.get("/estimators").status_code == 404


def test_results_pages_are_served_as_posted(script: Script) -> None:
    posted = values_of(NAMES)
    posted[0]["pages"] = [page(1, [0.25, 7.5]), a_map(0)]
    accepted(script.results(posted))
    completed(script)
    body = script.get("/results", estimator_name=NAMES[0]).json()
    for found, given in zip(body["pages"], [a_map(0), page(1, [0.25, 7.5])], strict=True):
        assert {name: found[name] for name in given} == given


def test_results_compressed(script: Script) -> None:
    content = gzip.compress(json.dumps({**script.named, "estimators": values_of(NAMES)}).encode())
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    accepted(script.http.post("/results", content=content, headers=headers))
    completed(script)
