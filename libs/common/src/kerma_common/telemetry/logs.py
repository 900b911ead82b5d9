"""Structured logs: one JSON object per line on standard error.

Fields bound with `bound(...)` (request, correlation, job) and the id of the current trace go into
every record of the current task and of the tasks it starts.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO

import orjson
from opentelemetry import trace

_fields: ContextVar[dict[str, str] | None] = ContextVar("log_fields", default=None)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


@contextmanager
def bound(**fields: str) -> Iterator[None]:
    """Add fields to all records that the block logs."""
    token = _fields.set({**(_fields.get() or {}), **fields})
    try:
        yield
    finally:
        _fields.reset(token)


def bound_fields() -> dict[str, str]:
    """Return the currently bound fields."""
    return dict(_fields.get() or {})


class JsonFormatter(logging.Formatter):
    """One JSON line per record: time, level, service, logger, message, bound fields, `extra`.

    The id of the current trace and the text of an exception are there if the record has one. These
    fields win over bound ones and `extra` of the same name, so that none of them can pass for
    something else.
    """

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Format a record; values that JSON does not know become text."""
        own = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "message": _message(record),
        }
        if (span := trace.get_current_span().get_span_context()).is_valid:
            own["trace"] = trace.format_trace_id(span.trace_id)
        if record.exc_info:
            own["error"] = self.formatException(record.exc_info)
        extra = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        # `own` comes first for the order of the fields and last for their values
        line = {**own, **(_fields.get() or {}), **extra, **own}
        try:
            return _json(line)
        except (TypeError, ValueError, RecursionError):
            return _json({_text(key): _plain(value) for key, value in line.items()})


def _json(value: object) -> str:
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _message(record: logging.LogRecord) -> str:
    """Return the message, also of a record whose arguments do not fit its format."""
    try:
        return record.getMessage()
    except Exception as error:
        return f"{_text(record.msg)} {_text(record.args)} ({type(error).__name__} when formatted)"


def _plain(value: object) -> object:
    """Return a value that JSON can hold: itself or its text."""
    try:
        _json(value)
    except (TypeError, ValueError, RecursionError):
        return _text(value)
    return value


def _text(value: object) -> str:
    r"""Return the text of a value, with lone surrogates as ``\udc80``."""
    try:
        return str(value).encode(errors="backslashreplace").decode()
    except Exception as error:  # an extra field of any type may fail in any way
        return f"<{type(value).__name__} without text: {type(error).__name__}>"


def configure_logs(service: str, level: str, stream: TextIO | None = None) -> None:
    """Make the root logger write JSON lines; replaces existing handlers."""
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in ("httpx", "httpcore", "asyncssh", "alembic"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
