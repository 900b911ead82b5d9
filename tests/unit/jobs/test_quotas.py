"""Which quota a submission exceeds, and the message to its user."""

from __future__ import annotations

import pytest

from kerma_jobs.domain.quotas import Exceeded, Quota, Quotas, Usage, exceeded, quotas_of

LIMITS = Quotas(active_jobs=2, waiting_tasks=10, stored_bytes=100, submissions_per_minute=3)


def asked(usage: Usage, *, tasks: int = 1, size: int = 1) -> Exceeded | None:
    return exceeded(usage, LIMITS, tasks=tasks, size=size)


def test_what_just_fits_is_admitted() -> None:
    full = Usage(active_jobs=1, waiting_tasks=4, stored_bytes=60, submissions=2)
    assert asked(full, tasks=6, size=40) is None


@pytest.mark.parametrize(
    ("usage", "quota", "used", "limit", "waiting_helps"),
    [
        (Usage(active_jobs=2), Quota.ACTIVE_JOBS, 2, 2, True),
        (Usage(waiting_tasks=10), Quota.WAITING_TASKS, 10, 10, True),
        (Usage(stored_bytes=100), Quota.STORED_BYTES, 100, 100, False),
        (
            Usage(submissions=3, next_submission=17.2),
            Quota.SUBMISSIONS_PER_MINUTE,
            3,
            3,
            True,
        ),
    ],
)
def test_each_quota_is_named_with_what_is_used(
    usage: Usage, quota: Quota, used: int, limit: int, *, waiting_helps: bool
) -> None:
    found = asked(usage)
    assert found is not None
    assert (found.quota, found.used, found.limit) == (quota, used, limit)
    assert (found.retry_after is not None) == waiting_helps
    assert str(used) in found.message
    assert str(limit) in found.message


def test_the_next_submission_is_when_the_oldest_leaves_the_minute() -> None:
    found = asked(Usage(submissions=3, next_submission=17.2))
    assert found is not None
    assert found.retry_after == 17.2
    assert "17 s" in found.message


def test_waiting_does_not_help_a_job_that_is_larger_than_the_quota() -> None:
    found = asked(Usage(), tasks=11)
    assert found is not None
    assert found.retry_after is None


def test_of_several_roles_the_largest_of_each_counts() -> None:
    by_role = {"a": Quotas(1, 20, 1, 20), "b": Quotas(10, 2, 10, 2), "default": LIMITS}
    assert quotas_of({"a", "b"}, by_role) == Quotas(10, 20, 10, 20)
    assert quotas_of({"a"}, by_role) == by_role["a"]
    assert quotas_of({"unknown"}, by_role) == LIMITS
    assert quotas_of((), {}) == Quotas()
