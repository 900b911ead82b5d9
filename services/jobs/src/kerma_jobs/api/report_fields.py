"""Fields of the reports of scripts: bounded and checked, each refusal names its field.

As in YAPTIDE, 0 and empty values say nothing, and times are UTC without a zone. Their fraction may
be missing: Python leaves it out where it is zero.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Set
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from kerma_common.errors import MOST_NAME, WRONG_DATA, InvalidRequest, shortened
from kerma_common.http.body.heads import BODY
from kerma_jobs.app.reports import JobUpdate, TaskUpdate
from kerma_jobs.app.submission import MAX_TASKS
from kerma_jobs.domain.batch import JOB_STATES, TASK_STATES

MOST_PRIMARIES = 2**53 // MAX_TASKS
"""Of one task: the sum over all tasks is a number that the database and JSON can hold."""
LONGEST_SECONDS = 10 * 366 * 86400.0
MOST_LOGS = 100
MOST_LOG_NAME = 200
MOST_UNKNOWN = 100
"""Unknown fields that a refusal names, which also says how many more there are."""
FIRST_YEAR = 2000
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?", re.ASCII)
NUMBER = re.compile(r"\d{1,9}", re.ASCII)
FOLDER = re.compile(r"(/[A-Za-z0-9_+@=,:-][A-Za-z0-9_.+@=,:-]*){1,64}/?", re.ASCII)
LONGEST_FOLDER = 1024


def task_index(value: object, place: str) -> int:
    """Return the number of a task from 0, -1 if no job has it: scripts count from 1, also in texts."""
    if isinstance(value, str) and NUMBER.fullmatch(value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise refused(place, f"Must be a number from 1 to {MAX_TASKS}.")
    return value - 1 if 0 < value <= MAX_TASKS else -1


def task_update(index: int, value: object, place: str) -> TaskUpdate:
    """Return what an ``update_dict`` says; its unknown keys say nothing."""
    found = _object(value, place)
    state = _one_of(TASK_STATES, found, "task_state", place)
    return TaskUpdate(
        index,
        state,
        _count(found, "requested_primaries", place),
        _count(found, "simulated_primaries", place),
        _seconds(found, "estimated_time", place),
        _time(found, "start_time", place),
        _time(found, "end_time", place),
    )


def job_update(body: Mapping[str, Any]) -> JobUpdate:
    """Return what the body of ``POST /jobs`` says; its unknown keys say nothing."""
    state = _one_of(JOB_STATES, body, "job_state", "")
    folder = body.get("job_dir") or None
    if folder is not None and not _is_folder(folder):
        raise refused("job_dir", "Not the absolute path of a folder.")
    return JobUpdate(
        state,
        _time(body, "end_time", ""),
        folder,
        _count(body, "array_id", ""),
        _count(body, "collect_id", ""),
        _log(body.get("log") or None),
    )


def entries(value: object, place: str) -> list[Any]:
    """Return a list of at most one entry per task of the largest job."""
    if not isinstance(value, list) or len(value) > MAX_TASKS:
        raise refused(place, f"Must be a list of at most {MAX_TASKS} objects.")
    return value


def require(body: Mapping[str, Any], keys: Collection[str], place: str = "") -> None:
    """Raise InvalidRequest naming the keys that are missing."""
    if not (body or place):
        raise InvalidRequest("No JSON in body")
    if missing := sorted(set(keys) - body.keys()):
        raise InvalidRequest(
            f"Missing keys in JSON payload: {', '.join(missing)}",
            {_at(place, key): ["Missing data for required field."] for key in missing},
        )


def exactly(value: object, keys: Set[str], place: str = "") -> dict[str, Any]:
    """Return an object of these keys. Raises InvalidRequest naming those missing or unknown.

    Of the unknown ones it names the first: a body may hold very many.
    """
    body = _object(value, place)
    require(body, keys, place)
    if (more := len(body) - len(keys)) > 0:
        named = list(islice((key for key in body if key not in keys), MOST_UNKNOWN))
        at = [_at(place, shortened(key, MOST_NAME)) for key in sorted(named)]
        reasons = {name: ["Unknown field."] for name in at}
        if more > len(named):
            reasons[place or BODY] = [f"Has {more - len(named)} more unknown fields."]
        raise InvalidRequest(WRONG_DATA, reasons)
    return body


def refused(place: str, reason: str) -> InvalidRequest:
    """Return the refusal of a field."""
    return InvalidRequest(WRONG_DATA, {place: [reason]})


def _object(value: object, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise refused(place, "Not an object.")
    return value


def _one_of(known: Collection[str], found: Mapping[str, Any], name: str, place: str) -> str | None:
    value = found.get(name) or None
    if value is not None and not (isinstance(value, str) and value in known):
        raise refused(_at(place, name), f"Must be one of: {', '.join(sorted(known))}.")
    return value


def _is_folder(value: object) -> bool:
    return (
        isinstance(value, str)
        and len(value) <= LONGEST_FOLDER
        and FOLDER.fullmatch(value) is not None
    )


def _log(value: object) -> dict[str, Any] | None:
    if value is None:
        return None
    log = _object(value, "log")
    if len(log) > MOST_LOGS or any(len(name) > MOST_LOG_NAME for name in log):
        reason = f"At most {MOST_LOGS} texts with names of at most {MOST_LOG_NAME} characters."
        raise refused("log", reason)
    return log


def _count(found: Mapping[str, Any], name: str, place: str) -> int | None:
    value = found.get(name)
    if not value and not isinstance(value, bool):
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= MOST_PRIMARIES:
        raise refused(_at(place, name), "Must be a positive integer.")
    return value


def _seconds(found: Mapping[str, Any], name: str, place: str) -> float | None:
    value = found.get(name)
    if not value and not isinstance(value, bool):
        return None
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or not math.isfinite(value)
        or not 0 <= value <= LONGEST_SECONDS
    ):
        raise refused(_at(place, name), "Must be a number of seconds.")
    return float(value)


def _time(found: Mapping[str, Any], name: str, place: str) -> datetime | None:
    value = found.get(name)
    if not value and not isinstance(value, bool):
        return None
    if isinstance(value, str) and TIME.fullmatch(value):
        try:
            moment = datetime.fromisoformat(value).replace(tzinfo=UTC)
        except ValueError:
            moment = None
        if moment is not None and moment.year >= FIRST_YEAR:
            return moment
    raise refused(_at(place, name), "Must be a time in UTC like 2026-01-31 23:59:59.000001.")


def _at(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
