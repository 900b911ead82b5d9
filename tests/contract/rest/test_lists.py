"""More of row 3.16: pages, equal times, missing ends, large numbers; and who did it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from kit.programs.family import PATIENCE, eventually
from kit.running.clients.browsers import as_operator
from kit.running.clients.command_line import run
from kit.running.clients.visitor import Visitor
from kit.running.whole import Whole

MANY = 7


@pytest.fixture(scope="module")
def seven(ada: Visitor, body: dict[str, Any]) -> Iterator[list[str]]:
    """Jobs that wait, submitted within a few seconds, the latest first."""
    made = [ada.submit({**body, "sim_type": "fluka", "ntasks": 1}) for _ in range(MANY)]
    yield made[::-1]
    for job in made:
        ada.http.delete("/jobs/direct", params={"job_id": job})


def page(ada: Visitor, **query: Any) -> dict[str, Any]:
    answer = ada.http.get("/user/simulations", params=query)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def ids(shown: dict[str, Any]) -> list[str]:
    return [entry["job_id"] for entry in shown["simulations"]]


def end_of(ada: Visitor, job: str) -> str | None:
    entries = page(ada, page_size=1000)["simulations"]
    time: str | None = next(one["end_time"] for one in entries if one["job_id"] == job)
    return time


def test_the_default_page_and_the_number_of_pages(ada: Visitor, seven: list[str]) -> None:
    shown = page(ada)
    assert (shown["page_count"], shown["simulations_count"]) == (2, MANY)
    assert ids(shown) == seven[:6]
    three = page(ada, page_size=3, page_idx=3, order_type="ascend")
    assert (three["page_count"], ids(three)) == (3, seven[:1])


@pytest.mark.parametrize("order", ["start_time", "end_time"])
def test_pages_of_equal_times_repeat_and_lose_nothing(
    ada: Visitor, seven: list[str], order: str
) -> None:
    """None of the jobs has an end, and some share a second."""
    for kind in ("ascend", "descend"):
        query = {"page_size": 2, "order_by": order, "order_type": kind}
        found = [job for number in range(1, 5) for job in ids(page(ada, page_idx=number, **query))]
        assert sorted(found) == sorted(seven)
        again = [job for number in range(1, 5) for job in ids(page(ada, page_idx=number, **query))]
        assert again == found


def test_jobs_without_an_end_come_first_where_the_latest_do(ada: Visitor, seven: list[str]) -> None:
    ended = seven[3]
    ada.http.delete("/jobs/direct", params={"job_id": ended})
    eventually(lambda: end_of(ada, ended), PATIENCE, "the end of the job")
    assert ids(page(ada, order_by="end_time", page_size=20))[-1] == ended
    assert ids(page(ada, order_by="end_time", page_size=20, order_type="ascend"))[0] == ended


@pytest.mark.parametrize("index", [0, -1])
def test_a_page_before_the_first_is_the_first(ada: Visitor, seven: list[str], index: int) -> None:
    assert ids(page(ada, page_idx=index)) == ids(page(ada))


def test_primaries_beyond_32_bits(ada: Visitor, body: dict[str, Any]) -> None:
    """YAPTIDE's columns end at 2 147 483 647."""
    beam = {**body["input_json"]["beam"], "numberOfParticles": 5_000_000_000}
    large = {**body, "input_json": {**body["input_json"], "beam": beam}, "ntasks": 3}
    job = ada.submit(large)
    try:
        tasks = ada.status(job)["job_tasks_status"]
        assert [task["requested_primaries"] for task in tasks] == [
            1_666_666_667,
            1_666_666_667,
            1_666_666_666,
        ]
        assert ada.get("/inputs", job).json()["input"]["number_of_all_primaries"] == 5_000_000_000
    finally:
        ada.http.delete("/jobs/direct", params={"job_id": job})


def test_who_cancelled_is_told(ada: Visitor, kerma: Whole, body: dict[str, Any]) -> None:
    """YAPTIDE overwrites rows."""
    job = ada.submit({**body, "sim_type": "fluka"})
    ada.http.delete("/jobs/direct", params={"job_id": job})
    with as_operator(kerma):
        told = run("story", job, "--json")
    assert told.code == 0, told.stderr
    events = [json.loads(line) for line in told.stdout.splitlines()]
    first = next(event for event in events if ".JobCancellationRequested." in event["type"])
    assert first["actor"] == f"user:{ada.user_id}"
    assert first["time"]
