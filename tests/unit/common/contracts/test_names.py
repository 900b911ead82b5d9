"""Subjects, shards, ids and the numbers that derive from them never change."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerma_common.contracts import ids, registry
from kerma_common.contracts.events import jobs
from kerma_common.contracts.subjects import (
    SHARDS,
    Subject,
    job_patterns,
    job_subject,
    result_set_subject,
    shard_of,
    task_subject,
)

JOB = "20260801-101500-0c6f3a52-5d1e-4b7a-9a55-3f1d7a1c2b4eDIRECT"


def test_subjects_are_what_they_always_were() -> None:
    assert str(job_subject(JOB)) == f"ev.jobs.job.1f.{JOB}"
    assert str(task_subject(JOB, 7)) == f"ev.runner.task.1f.{JOB}.7"
    assert str(result_set_subject(JOB)) == f"ev.results.result_set.1f.{JOB}"
    assert ("RUNNER", f"ev.runner.*.1f.{JOB}.>") in job_patterns(JOB)


@given(st.text())
def test_shards_are_in_range(key: str) -> None:
    assert 0 <= int(shard_of(key), 16) < SHARDS


@pytest.mark.parametrize("bad", ["", "a b", "a.", ".a", "a..b", "*", "a.>", "a\n", "ä", "a\x00"])
def test_hostile_ids_make_no_subject(bad: str) -> None:
    with pytest.raises(ValueError, match="subject"):
        Subject("jobs", "job", bad, bad)


def test_job_ids_have_the_known_form() -> None:
    unique = UUID("0c6f3a52-5d1e-4b7a-9a55-3f1d7a1c2b4e")
    made = ids.job_id(datetime(2026, 8, 1, 10, 15, tzinfo=UTC), unique, "DIRECT")
    assert made == JOB


def test_commit_ids_are_what_they_always_were() -> None:
    assert ids.commit_id("user:u1", "key") == "6274e0f4-55f6-5a91-a035-e3c792ec7cdb"
    assert ids.commit_id("a", "b") != ids.commit_id("ab")


@given(st.integers(0, 10**9), st.integers(1, 10_000))
def test_all_primaries_are_simulated(total: int, n_tasks: int) -> None:
    shares = ids.split_primaries(total, n_tasks)
    assert sum(shares) == total
    assert len(shares) == n_tasks
    assert max(shares) - min(shares) <= 1


@given(st.text(min_size=1))
def test_seeds_are_valid_and_never_shared(job: str) -> None:
    for rule, least, most in ((1, 1, 2**31 - 2), (2, 2**31, 2**63 - 1)):
        seeds = [ids.task_seed(job, index, rule) for index in range(200)]
        assert len(set(seeds)) == 200
        assert all(least <= seed <= most for seed in seeds)


STARTED_BEFORE_RULES = {
    "owner": "ada",
    "engine": "geant4",
    "input_ref": {"sha256": "0" * 64, "size": 1, "media": "application/json"},
    "primaries": 3,
    "n_tasks": 3,
    "max_attempts": 3,
    "placement": "pool",
}


def test_recorded_seeds_stay_what_they_are() -> None:
    job = "20260101-000000-5f0c6b0e-0000-4000-8000-000000000000DIRECT"
    assert [ids.task_seed(job, n, 1) for n in (0, 1, 9999)] == [1339206994, 1339255265, 1821868723]
    assert [ids.task_seed(job, n, 2) for n in (0, 1, 9999)] == [
        1397271724034342912,
        1397271724034342913,
        1397271724034352911,
    ]
    event = registry.from_data("JobStarted", 1, {**STARTED_BEFORE_RULES, "job_id": job})
    assert isinstance(event, jobs.JobStarted)
    assert event.seed_rule == 1


def test_jobs_share_no_block_of_seeds() -> None:
    """Collisions stay within the documented chance; by rule 1, many of these jobs would collide."""
    ends = [(ids.task_seed(f"{n}", 0, 2), ids.task_seed(f"{n}", 9999, 2)) for n in range(20_000)]
    ordered = sorted(ends)
    assert all(end < start for (_, end), (start, _) in pairwise(ordered))


@pytest.mark.parametrize(("index", "rule"), [(2**14, 2), (-1, 2), (0, 3), (0, 0)])
def test_a_seed_of_no_rule_is_refused(index: int, rule: int) -> None:
    with pytest.raises(ValueError, match="no seed"):
        ids.task_seed("job", index, rule)


def test_old_versions_are_brought_up_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    for table in ("_by_name", "_by_class", "_upcasters"):
        monkeypatch.setattr(registry, table, dict(getattr(registry, table)))

    @registry.event("runner", "worker", version=3)
    class Moved:
        """A worker moved."""

        to: str
        slots: int

    registry.upcaster("Moved", 1)(lambda data: {"to": data["target"]})
    registry.upcaster("Moved", 2)(lambda data: {**data, "slots": 1})
    assert registry.from_data("Moved", 1, {"target": "x"}) == Moved(to="x", slots=1)
    assert registry.from_data("Moved", 2, {"to": "x"}) == Moved(to="x", slots=1)
    assert registry.from_data("Moved", 3, {"to": "x", "slots": 2}) == Moved(to="x", slots=2)
    assert registry.from_data("Moved", 4, {}) is None
    assert registry.from_data("NeverHeardOf", 1, {}) is None


def test_a_type_is_registered_once() -> None:
    with pytest.raises(ValueError, match="twice"):

        @registry.event("jobs", "job")
        class JobSubmitted:
            """Another."""
