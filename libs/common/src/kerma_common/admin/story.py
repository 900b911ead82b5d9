"""The whole history of a job across all streams, causes before effects."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from kerma_common.contracts.subjects import job_patterns

if TYPE_CHECKING:
    from kerma_common.contracts.envelope import Recorded, StoredEvent

MAX_DETAILS = 120


class Histories(Protocol):
    """A log that can be read by subject pattern."""

    async def history(self, stream: str, pattern: str) -> Sequence[Recorded]:
        """Return all commits on the subjects of ``pattern``, in stream order."""


@dataclass(frozen=True, slots=True)
class StoryEvent:
    """One event of the story. ``cause`` is the type of the event that caused it, if known."""

    recorded: Recorded
    event: StoredEvent
    cause: str | None


async def story(log: Histories, job_id: str) -> tuple[StoryEvent, ...]:
    """Return every event of the job, its tasks and its results; () for an unknown job.

    A commit comes after the one that holds its causing event and after the earlier commits of its
    aggregate. Time, then stream and sequence, decide otherwise.
    """
    messages = [r for place in job_patterns(job_id) for r in await log.history(*place)]
    found = [r for r in messages if r.foreign is None]
    types = {e.id: e.type for r in found for e in r.commit.events}
    return tuple(
        StoryEvent(r, event, types.get(r.commit.meta.causation or ""))
        for r in in_causal_order(found)
        for event in r.commit.events
    )


def in_causal_order(commits: Sequence[Recorded]) -> list[Recorded]:
    """Return ``commits`` sorted so that no effect comes before its cause."""
    effects, open_causes = _effects(commits)
    ready = [(_place(r), i) for i, r in enumerate(commits) if not open_causes[i]]
    heapq.heapify(ready)
    ordered = []
    while ready:
        _, i = heapq.heappop(ready)
        ordered.append(commits[i])
        for j in effects[i]:
            open_causes[j] -= 1
            if not open_causes[j]:
                heapq.heappush(ready, (_place(commits[j]), j))
    return ordered


def _place(recorded: Recorded) -> tuple[datetime, str, int]:
    return recorded.commit.events[0].time, recorded.stream, recorded.seq


def _effects(commits: Sequence[Recorded]) -> tuple[Mapping[int, list[int]], list[int]]:
    """Return the direct successors of each commit, and the number of its predecessors."""
    by_event = {e.id: i for i, r in enumerate(commits) for e in r.commit.events}
    effects: dict[int, list[int]] = defaultdict(list)
    open_causes = [0] * len(commits)
    latest: dict[str, int] = {}
    for i, r in sorted(enumerate(commits), key=lambda pair: (pair[1].stream, pair[1].seq)):
        causes = {by_event.get(r.commit.meta.causation or ""), latest.get(r.subject)}
        for cause in causes - {None, i}:
            assert cause is not None
            effects[cause].append(i)
            open_causes[i] += 1
        latest[r.subject] = i
    return effects, open_causes


def lines(events: Sequence[StoryEvent]) -> list[str]:
    """Format the story: time since its start in seconds, place, event, reason, details."""
    if not events:
        return []
    start = events[0].event.time
    return [
        f"{(t.event.time - start).total_seconds():+10.3f}  "
        f"{t.recorded.stream + ':' + str(t.recorded.seq):<14} {_aggregate(t):<14} "
        f"{t.event.type:<26} {_reason(t):<34} {_details(t.event.data)}".rstrip()
        for t in events
    ]


def _aggregate(event: StoryEvent) -> str:
    commit = event.recorded.commit
    index = commit.aggregate_id.rpartition(".")[2] if commit.aggregate == "task" else ""
    return f"{commit.aggregate} {index}".rstrip()


def _reason(event: StoryEvent) -> str:
    return f"after {event.cause}" if event.cause else f"by {event.recorded.commit.meta.actor}"


def _details(data: Mapping[str, Any]) -> str:
    shown = " ".join(
        f"{name}={_short(value)}" for name, value in data.items() if name not in ("job_id", "index")
    )
    return shown if len(shown) <= MAX_DETAILS else shown[: MAX_DETAILS - 1] + "…"


def _short(value: Any) -> str:
    if isinstance(value, Mapping) and "sha256" in value:
        return f"{value['sha256'][:8]}({value['size']} B)"
    if isinstance(value, (list, tuple)) and len(value) > 3:
        return f"[{len(value)} items]"
    return str(value)
