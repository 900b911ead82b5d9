"""What ends a command with one sentence. Every command imports these, so they import little."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """The service answered with an error; ``fields`` maps fields of the request to reasons."""

    def __init__(self, status: int, message: str, fields: Mapping[str, Any]) -> None:
        self.status = status
        self.message = message
        self.fields = fields
        detail = "".join(f"\n  {name}: {_reasons(why)}" for name, why in fields.items())
        super().__init__(f"{message} (HTTP {status}){detail}")


class UnreachableError(Exception):
    """The service does not answer, or the connection broke. What was submitted goes on."""


def _reasons(why: object) -> str:
    return "; ".join(map(str, why)) if isinstance(why, list) else str(why)


class DemoError(Exception):
    """The demonstration did not reach its end; the text says why."""
