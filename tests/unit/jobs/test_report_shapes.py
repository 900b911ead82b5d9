"""What the OpenAPI document says of reports is what their fields are checked by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter

from kerma_common.errors import InvalidRequest
from kerma_jobs.api import bulk_reports, reports
from kerma_jobs.api import report_fields as fields
from kerma_jobs.api import report_shapes as shapes
from kerma_jobs.app.submission import MAX_TASKS
from kerma_jobs.domain.batch import JOB_STATES

TIMES = (
    "2026-01-02 03:04:05",
    "٢026-01-02 03:04:05",
    "2026-01-02 03:04:05.1",
    "2026-01-02T03:04:05",
    "soon",
    "",
    None,
    5,
)
COUNTS = (0, 1, fields.MOST_PRIMARIES, fields.MOST_PRIMARIES + 1, -1, "1", 1.5, True, None)
SECONDS = (0, 0.5, fields.LONGEST_SECONDS, fields.LONGEST_SECONDS * 2, -1, "1", True, None)
OF_TASKS = {
    "task_state": (*sorted(JOB_STATES), "", None, 5, "running"),
    "requested_primaries": COUNTS,
    "simulated_primaries": COUNTS,
    "estimated_time": SECONDS,
    "start_time": TIMES,
    "end_time": TIMES,
    "unknown": (1, "x"),
}
OF_JOBS = {
    "job_state": (*sorted(JOB_STATES), "", None, 5, "running"),
    "end_time": TIMES,
    "job_dir": ("/a/b", "/a/", "/", "a", "/a/../b", "/" + "a" * 1023, "/" + "a" * 1024, "", None),
    "array_id": COUNTS,
    "collect_id": COUNTS,
    "log": ({"a": {"b": 1}}, {"a" * 201: ""}, dict.fromkeys(map(str, range(101)), ""), {}, None, 5),
    "unknown": (1, "x"),
}


def _cases(values: Mapping[str, tuple[object, ...]]) -> list[tuple[str, object]]:
    return [(name, value) for name, some in values.items() for value in some]


def _allowed(shape: Any, body: object) -> bool:
    found: bool = Draft202012Validator(TypeAdapter(shape).json_schema()).is_valid(body)
    return found


def _accepted(check: Any, *arguments: Any) -> bool:
    try:
        check(*arguments)
    except InvalidRequest:
        return False
    return True


@pytest.mark.parametrize(("name", "value"), _cases(OF_TASKS))
def test_fields_of_tasks(name: str, value: object) -> None:
    said = {name: value}
    assert _allowed(shapes.TaskProgress, said) is _accepted(fields.task_update, 0, said, "")


@pytest.mark.parametrize(("name", "value"), _cases(OF_JOBS))
def test_fields_of_jobs(name: str, value: object) -> None:
    body = {"sim_id": 1, "update_key": "k", name: value}
    assert _allowed(shapes.ReportOnJob, body) is _accepted(fields.job_update, body)


@pytest.mark.parametrize(
    "number", [1, MAX_TASKS, MAX_TASKS + 1, "1", "x", "", "٣", 1.5, True, None]
)
def test_numbers_of_tasks(number: object) -> None:
    body = {"task_id": number, "update_dict": {}}
    try:
        accepted = fields.task_index(number, "task_id") >= 0
    except InvalidRequest:
        accepted = False
    assert _allowed(shapes.TaskOfMany, body) is accepted


@pytest.mark.parametrize(
    ("shape", "keys"),
    [
        (shapes.ReportOnTask, reports.TASK_KEYS),
        (shapes.ReportOnTasks, bulk_reports.KEYS),
        (shapes.ReportOnJob, reports.JOB_KEYS),
    ],
)
def test_required_keys_are_those_that_routes_require(shape: Any, keys: frozenset[str]) -> None:
    schema = TypeAdapter(shape).json_schema()
    assert set(schema["required"]) == keys
    exact = schema.get("additionalProperties") is False
    assert exact is (set(schema["properties"]) == keys)


def test_examples_are_accepted() -> None:
    for entry in (shapes.TASK.example, *shapes.TASKS.example["tasks"]):
        index = fields.task_index(entry["task_id"], "")
        assert fields.task_update(index, entry["update_dict"], "").index == index
    assert fields.job_update(shapes.JOB.example).array_id == 1201
