"""Commits for tests of the log: a worker's registration and any number of retirements."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

from kerma_common.contracts.envelope import Commit, Meta, make_commit
from kerma_common.contracts.events.runner import WorkerRetired
from kerma_common.contracts.subjects import Subject, worker_subject
from kerma_common.eventlog.port import Appended, EventLog

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def fresh_subject() -> Subject:
    """Return the subject of an aggregate that nobody has written to."""
    return worker_subject(str(uuid4()))


def commit(subject: Subject, first_version: int = 1, events: int = 1, size: int = 10) -> Commit:
    """Return a commit with a new id; ``size`` is about the bytes of each event."""
    meta = Meta(actor="svc:test", command="Retire", correlation="c", service="runner")
    retired = WorkerRetired(worker=subject.id, reason="x" * size)
    return make_commit(
        str(uuid4()), "worker", subject.id, first_version, meta, (retired,) * events, NOW
    )


async def write(log: EventLog, subject: Subject, n: int) -> list[tuple[Commit, Appended]]:
    """Append ``n`` commits in a row to a fresh aggregate."""
    done: list[tuple[Commit, Appended]] = []
    for version in range(1, n + 1):
        expected = done[-1][1].seq if done else 0
        made = commit(subject, version)
        done.append((made, await log.append(subject, expected, made)))
    return done
