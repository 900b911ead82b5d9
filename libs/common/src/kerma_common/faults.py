"""Named points at which tests kill the process.

``KERMA_FAULT_POINT=name`` or ``name:n`` makes the process kill itself, without clean-up, when it
passes the point for the n-th time. If unset, as in every deployment, a point costs one comparison.
"""

from __future__ import annotations

import os
import signal
from enum import StrEnum


class FaultPoint(StrEnum):
    """A place worth crashing at: between two effects that must not come apart."""

    BEFORE_APPEND = "before_append"
    AFTER_APPEND_BEFORE_ANSWER = "after_append_before_answer"
    AFTER_PROJECT_BEFORE_COMMIT = "after_project_before_commit"
    AFTER_COMMIT_BEFORE_PUBLISH = "after_commit_before_publish"
    OUTBOX_BEFORE_DISPATCH = "outbox_before_dispatch"
    OUTBOX_AFTER_DISPATCH = "outbox_after_dispatch"


def _armed() -> tuple[FaultPoint | None, int]:
    name, _, count = os.environ.get("KERMA_FAULT_POINT", "").partition(":")
    return (FaultPoint(name), int(count or 1)) if name else (None, 0)


_point, _left = _armed()


def reached(point: FaultPoint) -> None:
    """Kill the process here if a test asked for it."""
    global _left
    if point is not _point:
        return
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
