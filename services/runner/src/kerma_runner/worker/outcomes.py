"""How an attempt can end before its results are stored."""

from __future__ import annotations

from enum import StrEnum


class Stop(StrEnum):
    """Why an attempt is ended from outside."""

    CANCEL = "CANCEL"  # the user's wish: to be confirmed
    DROP = "DROP"  # the lease is over: no report is wanted
    RELEASE = "RELEASE"  # the worker cannot go on: another may have the task


class Failed(Exception):  # noqa: N818 - an outcome
    """The attempt failed with a stable code and a sentence for the user."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(message)


class Stopped(Exception):  # noqa: N818 - an outcome
    """The attempt was told to stop, and nothing of it is left."""
