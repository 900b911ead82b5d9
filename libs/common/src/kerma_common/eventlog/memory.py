"""The event log in memory, for unit tests: the same contract, nothing durable."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from kerma_common.contracts import decoding, envelope
from kerma_common.contracts.envelope import Commit, Recorded
from kerma_common.errors import ConcurrencyConflict
from kerma_common.eventlog.messages import recorded
from kerma_common.eventlog.port import Appended, StreamState

if TYPE_CHECKING:
    from kerma_common.contracts.subjects import Subject


class MemoryLog:
    """``EventLog`` that lives as long as the object."""

    def __init__(self) -> None:
        self._streams: dict[str, list[Recorded]] = defaultdict(list)
        self._times: dict[str, list[datetime]] = defaultdict(list)
        self._appended = asyncio.Condition()

    async def append(self, subject: Subject, expected: int, commit: Commit) -> Appended:
        """Store ``commit`` after ``expected``; see the port."""
        stored = decoding.decode(envelope.encode(commit))
        async with self._appended:
            stream = self._streams[subject.stream]
            later = [r for r in stream if r.subject == str(subject) and r.seq > expected]
            if later and later[0].commit.id == commit.id:
                return Appended(subject.stream, later[0].seq, duplicate=True)
            if later or expected != self._last(subject):
                raise ConcurrencyConflict(f"{subject} has moved on from {expected}")
            stream.append(Recorded(subject.stream, len(stream) + 1, str(subject), stored))
            self._times[subject.stream].append(datetime.now(UTC))
            self._appended.notify_all()
            return Appended(subject.stream, len(stream))

    def store_foreign(self, subject: Subject, body: bytes) -> None:
        """Store a message that is not a commit, as any client of the server can."""
        stream = self._streams[subject.stream]
        stream.append(recorded(subject.stream, len(stream) + 1, str(subject), body, None))
        self._times[subject.stream].append(datetime.now(UTC))

    async def load(self, subject: Subject) -> Sequence[Recorded]:
        """Return all messages of an aggregate."""
        return tuple(r for r in self._streams[subject.stream] if r.subject == str(subject))

    async def last_seq(self, subject: Subject) -> int:
        """Return the sequence of the aggregate's last commit; 0 if none."""
        return self._last(subject)

    async def state(self, stream: str) -> StreamState:
        """Return the extent of a stream; its epoch never changes."""
        last = len(self._streams[stream])
        return StreamState(min(last, 1), last, "memory")

    async def before(self, stream: str, moment: datetime) -> int:
        """Return the sequence after which everything comes that was stored since ``moment``."""
        return sum(stored < moment for stored in self._times[stream])

    @asynccontextmanager
    async def follow(
        self, stream: str, after: int, *, max_batch: int = 256
    ) -> AsyncIterator[AsyncGenerator[Sequence[Recorded], None]]:
        """Yield commits after a sequence; see the port."""
        following = self._batches(stream, after, max_batch)
        try:
            yield following
        finally:
            await following.aclose()

    async def history(self, stream: str, pattern: str) -> Sequence[Recorded]:
        """Return all commits on the subjects of ``pattern`` (wildcards allowed), in stream order."""
        return tuple(r for r in self._streams[stream] if _matches(pattern, r.subject))

    def _last(self, subject: Subject) -> int:
        seqs = (r.seq for r in self._streams[subject.stream] if r.subject == str(subject))
        return max(seqs, default=0)

    async def _batches(
        self, stream: str, after: int, max_batch: int
    ) -> AsyncGenerator[Sequence[Recorded], None]:
        commits = self._streams[stream]
        position = after
        while True:
            async with self._appended:
                while len(commits) <= position:
                    await self._appended.wait()
            batch = tuple(commits[position : position + max_batch])
            yield batch
            position += len(batch)  # more may have been appended meanwhile


def _matches(pattern: str, subject: str) -> bool:
    wanted, tokens = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted, rest = wanted[:-1], tokens[len(wanted) - 1 :]
        tokens = tokens[: len(wanted)]
        if not rest:
            return False
    return len(wanted) == len(tokens) and all(
        w in ("*", t) for w, t in zip(wanted, tokens, strict=True)
    )
