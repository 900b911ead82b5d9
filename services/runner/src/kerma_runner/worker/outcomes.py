"""The ways in which an attempt can end before its results are stored."""

from __future__ import annotations

from enum import StrEnum


class Stop(StrEnum):
    """Why an attempt is stopped from outside."""

    CANCEL = "CANCEL"  # the user cancelled: confirm it
    DROP = "DROP"  # the lease is over: send no report
    RELEASE = "RELEASE"  # the worker cannot go on: hand the task back


class Failed(Exception):  # noqa: N818 - an outcome
    """The attempt failed, with a stable code and a message for the user."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(message)


class Stopped(Exception):  # noqa: N818 - an outcome
    """The attempt was stopped, and no process of it is left."""
