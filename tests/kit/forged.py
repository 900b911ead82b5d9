"""Commits that have the right form, but whose event nobody can decode."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from kerma_common.contracts.envelope import Meta, make_commit

if TYPE_CHECKING:
    from kerma_common.contracts.subjects import Subject
    from kerma_common.eventlog.port import EventLog


async def forge(log: EventLog, subject: Subject, event: object) -> None:
    """Append a well-formed commit whose event has a value of the wrong type."""
    history = await log.load(subject)
    meta = Meta("svc:test", "Test", "test", subject.context)
    place = (str(uuid4()), subject.aggregate, subject.id, len(history) + 1)
    made = make_commit(*place, meta, (event,), datetime.now(UTC))
    [stored] = made.events
    key = "job_id" if "job_id" in stored.data else "worker"
    wrong = stored._replace(data={**stored.data, key: {"not": "a text"}})
    last = history[-1].seq if history else 0
    await log.append(subject, last, made._replace(events=(wrong,)))
