"""What ends a command with one sentence. Every command imports these, so they import little."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PROBLEMS = "/v1/problems#"
UNAVAILABLE = 503


class ApiError(Exception):
    """The service answered with an error.

    ``fields`` maps fields of the request to reasons. ``kind`` is the word by which programs tell
    refusals apart (``quota-exceeded``), ``code`` a finer one where there is one (``JOB_ACTIVE``),
    both empty outside the native interface. ``retry_after``: seconds after which the request may
    succeed. The text lists the reasons that the message does not give.
    """

    def __init__(
        self,
        status: int,
        message: str,
        fields: Mapping[str, Any],
        *,
        kind: str = "",
        code: str = "",
        retry_after: float | None = None,
    ) -> None:
        self.status = status
        self.message = message
        self.fields = fields
        self.kind = kind
        self.code = code
        self.retry_after = retry_after
        lines = [
            f"\n  {name}: {reason}"
            for name, why in fields.items()
            for reason in (why if isinstance(why, list) else [why])
            if f"{name}: {reason}" not in message
        ]
        super().__init__(f"{message} (HTTP {status}){''.join(lines)}")


class UnreachableError(Exception):
    """The service does not answer, or the connection broke. What was submitted goes on."""


class JobTimeoutError(Exception):
    """The job has not ended in the time that the caller waits. It goes on."""


class DemoError(Exception):
    """The demonstration did not reach its end; the text says why."""


class Incomplete(Exception):  # noqa: N818 - says what happened
    """The command has ended, and has left something out."""
