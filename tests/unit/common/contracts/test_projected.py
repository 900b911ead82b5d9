"""Every event of a service changes a row of its read models, or is on a list of exceptions."""

from __future__ import annotations

import pytest

from kerma_allinone.assembly import SERVICES
from kerma_tools import golden

NO_ROW = {
    # every process keeps these in memory
    "auth": {"SigningKeyIntroduced", "SigningKeyRetired", "SessionEnded", "SessionsRevoked"},
    # JobStarted comes with JobSubmitted, which makes the rows; others show what clusters report, or that
    # there are no rows
    "jobs": {"JobStarted", "JobArraysReported", "JobLogReported"},
    # ResultsExpected and ResultsRefused concern only the aggregate
    "results": {"ResultsExpected", "ResultsRefused"},
    # comes with TaskRequeued or TaskFailed; TasksWithdrawn has already removed the rows
    "runner": {"TaskLeaseExpired", "TasksCanceled"},
}


def own(service: str) -> set[str]:
    return {kind.name for kind in golden.kinds() if kind.context == service}


def projected(service: str) -> set[str]:
    return {name for found in golden.projections(service) for name in found.wanted}


@pytest.mark.parametrize("service", SERVICES)
def test_every_own_event_has_a_projector_or_needs_none(service: str) -> None:
    assert own(service)
    assert own(service) - projected(service) == NO_ROW.get(service, set())
