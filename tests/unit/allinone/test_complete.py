"""Nothing is forgotten: every event of an aggregate is evolved, and every own event is projected."""

from __future__ import annotations

from typing import get_args

import pytest

from kerma_allinone.assembly import SERVICES
from kerma_auth.domain.account import AccountEvent
from kerma_auth.domain.api_token import ApiTokenEvent
from kerma_auth.domain.keyring import KeyringEvent
from kerma_auth.domain.user import UserEvent
from kerma_batch_gateway.domain.cluster import ClusterEvent
from kerma_common.contracts import registry
from kerma_jobs.domain.job import JobEvent
from kerma_results.domain.result_set import ResultSetEvent
from kerma_tools.golden import projections

UNIONS = {
    ("auth", "account"): AccountEvent,
    ("auth", "api_token"): ApiTokenEvent,
    ("auth", "keyring"): KeyringEvent,
    ("auth", "user"): UserEvent,
    ("batch", "cluster"): ClusterEvent,
    ("jobs", "job"): JobEvent,
    ("results", "result_set"): ResultSetEvent,
}
NOT_PROJECTED = {
    "JobStarted": "the runner's task supply starts with it; users see the tasks start",
    "TaskLeaseExpired": "its commit also says whether the task is queued again or has failed",
    "TasksCanceled": "TasksWithdrawn has already removed the rows",
    "JobArraysReported": "the gateway of the cluster will need it; users see no use in it",
    "JobLogReported": "logs are shown by the results service",
    "ResultsExpected": "the aggregate decides whether results are accepted",
    "ResultsRefused": "the aggregate decides whether results are accepted",
    **dict.fromkeys(
        ("SigningKeyIntroduced", "SigningKeyRetired", "SessionEnded", "SessionsRevoked"),
        "every process keeps keys and revocations in memory",
    ),
}
"""Own events that no read model of their service shows, and why."""


def own(service: str) -> frozenset[str]:
    """Names of the service's events."""
    return frozenset(kind.name for kind in registry.all_types() if kind.context == service)


@pytest.mark.parametrize("aggregate", UNIONS, ids="/".join)
def test_the_union_that_evolve_takes_has_every_event(aggregate: tuple[str, str]) -> None:
    kinds = {
        kind.cls for kind in registry.all_types() if (kind.context, kind.aggregate) == aggregate
    }
    assert set(get_args(UNIONS[aggregate])) == kinds


@pytest.mark.parametrize("service", SERVICES)
def test_every_own_event_has_a_projector_or_a_reason(service: str) -> None:
    projected = frozenset().union(*(projection.wanted for projection in projections(service)))
    assert own(service) - projected == own(service) & NOT_PROJECTED.keys()


def test_reasons_are_for_events_that_exist() -> None:
    known = {name for service in SERVICES for name in own(service)}
    assert NOT_PROJECTED.keys() <= known
