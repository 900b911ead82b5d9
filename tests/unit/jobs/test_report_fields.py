"""Whatever JSON a script sends, its fields are read or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerma_common.errors import InvalidRequest
from kerma_jobs.api.report_fields import (
    MOST_UNKNOWN,
    entries,
    exactly,
    job_update,
    task_index,
    task_update,
)
from kerma_jobs.app.batch_options import BatchOptions, parse_batch_options
from kerma_jobs.app.reports import JobUpdate, TaskUpdate

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(["RUNNING", "COMPLETED", "2026-01-02 03:04:05.678901", "2026-02-30 00:00:00"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=8,
)
TASK_FIELDS = (
    "task_state",
    "requested_primaries",
    "simulated_primaries",
    "estimated_time",
    "start_time",
    "end_time",
)
JOB_FIELDS = ("job_state", "end_time", "job_dir", "array_id", "collect_id", "log")
OPTION_FIELDS = (
    "cluster_name",
    "array_options",
    "collect_options",
    "array_header",
    "collect_header",
)


def of(*fields: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=dict.fromkeys(fields, JSON))


def outcome(read: Callable[..., Any], *given_: Any) -> tuple[Any, frozenset[str]]:
    """Return what was read, or None and the fields that were refused."""
    try:
        return read(*given_), frozenset()
    except InvalidRequest as refused:
        return None, frozenset(refused.fields)


@given(of(*TASK_FIELDS) | JSON)
def test_of_a_task(body: Any) -> None:
    found, names = outcome(task_update, 3, body, "update_dict")
    assert all(name.startswith("update_dict") for name in names)
    if not names:
        assert isinstance(found, TaskUpdate)
        for count in (found.requested, found.simulated):
            assert count is None or 0 < count <= 2**53
        for moment in (found.started_at, found.ended_at):
            assert moment is None or moment.tzinfo is UTC


@given(of(*JOB_FIELDS))
def test_of_a_job(body: dict[str, Any]) -> None:
    found, names = outcome(job_update, body)
    assert names <= set(JOB_FIELDS)
    if not names:
        assert isinstance(found, JobUpdate)
        assert found.job_dir is None or ".." not in found.job_dir.split("/")


@given(st.fixed_dictionaries({"batch_options": of(*OPTION_FIELDS) | JSON}))
def test_of_options(body: dict[str, Any]) -> None:
    found, names = outcome(parse_batch_options, body)
    assert all(name.startswith("batch_options") for name in names)
    assert names or isinstance(found, BatchOptions)


@given(JSON)
def test_of_numbers_and_lists(value: Any) -> None:
    index, names = outcome(task_index, value, "task_id")
    assert names == {"task_id"} or -1 <= index < 10_000
    listed, names = outcome(entries, value, "tasks")
    assert all(name.startswith("tasks") for name in names)
    assert names or listed is value


@pytest.mark.parametrize(
    ("text", "microsecond"),
    [
        ("2026-01-02 03:04:05.678901", 678_901),
        ("2026-01-02 03:04:05.5", 500_000),
        ("2026-01-02 03:04:05", 0),
    ],
)
def test_times_are_utc(text: str, microsecond: int) -> None:
    found = task_update(0, {"start_time": text}, "update_dict").started_at
    assert found == datetime(2026, 1, 2, 3, 4, 5, microsecond, tzinfo=UTC)


@pytest.mark.parametrize("folder", ["/scratch/u/run1", "/net/a+b@c=d,e:f-g/"])
def test_folders(folder: str) -> None:
    assert job_update({"job_dir": folder}).job_dir == folder


@pytest.mark.parametrize(("place", "more"), [("", "body"), ("tasks.7", "tasks.7")])
def test_of_very_many_unknown_fields_some_are_named_and_the_others_counted(
    place: str, more: str
) -> None:
    known = frozenset({"key"})
    names = ["x" * 5000, *(f"f{number}" for number in range(160_000))]
    with pytest.raises(InvalidRequest) as refused:
        exactly({"key": 1, **dict.fromkeys(names)}, known, place)
    fields = refused.value.fields
    assert fields.pop(more) == [f"Has {len(names) - MOST_UNKNOWN} more unknown fields."]
    assert list(fields.values()) == [["Unknown field."]] * MOST_UNKNOWN
    assert max(map(len, fields)) < 200
    assert exactly({"key": 1}, known, place) == {"key": 1}
