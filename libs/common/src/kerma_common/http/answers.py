"""Responses in the YAPTIDE envelope: a JSON object with a string `message` and other fields."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import Any

import orjson
from starlette.responses import Response


def answer(
    message: str,
    status: int = 200,
    *,
    headers: Mapping[str, str] | None = None,
    **fields: Any,
) -> Response:
    """Return a JSON response; keys are sorted, `message` is plain text that browser clients show."""
    return json_answer({**fields, "message": message}, status, headers=headers)


def json_answer(
    body: Mapping[str, Any], status: int = 200, *, headers: Mapping[str, str] | None = None
) -> Response:
    """Return any JSON object with sorted keys; NaN and infinities become null."""
    content = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    return Response(content, status, headers, "application/json")


def http_date(moment: datetime | None) -> str | None:
    """Return an RFC 7231 date (`Sun, 22 Nov 2026 01:25:56 GMT`) of an aware datetime, None of None."""
    return None if moment is None else _http_date(int(moment.timestamp()))


def iso_time(moment: datetime) -> str:
    """Return an ISO 8601 time in UTC with milliseconds (`2026-11-22T01:25:56.000Z`)."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_time_or_none(moment: datetime | None) -> str | None:
    """Return an ISO 8601 time as `iso_time` does, None of None."""
    return None if moment is None else iso_time(moment)


@lru_cache(maxsize=8192)
def _http_date(second: int) -> str:
    # Formatting takes longer than everything else about a task, and tasks share their seconds.
    return format_datetime(datetime.fromtimestamp(second, UTC), usegmt=True)
