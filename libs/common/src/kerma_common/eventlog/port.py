"""What the rest of the system needs of an event log."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from kerma_common.contracts.envelope import Commit, Recorded
    from kerma_common.contracts.subjects import Subject


@dataclass(frozen=True, slots=True)
class Appended:
    """Where a commit stands. ``duplicate``: an earlier try had stored it already."""

    stream: str
    seq: int
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class StreamState:
    """First and last sequence of a stream, and the epoch that a restore would change."""

    first: int
    last: int
    epoch: str


class EventLog(Protocol):
    """Append with optimistic concurrency, load one aggregate, follow one stream.

    What is read may hold messages that are no commits (``Recorded.foreign``): they have no events,
    and their sequences count.

    Raises ``ConcurrencyConflict`` (another commit came first), ``OutcomeUnknown`` (may or may not
    be stored; the same commit may be retried) and ``Unavailable`` from ``kerma_common.errors``.
    """

    async def append(self, subject: Subject, expected: int, commit: Commit) -> Appended:
        """Store ``commit`` if the last message of ``subject`` has stream sequence ``expected``.

        0 means that the subject must not exist. A retry of a commit that was stored answers as
        the first try would have.
        """

    async def load(self, subject: Subject) -> Sequence[Recorded]:
        """All messages of an aggregate, read from the leader; () when there is none.

        Raises UnreadableHistory when commits are missing between others.
        """

    async def last_seq(self, subject: Subject) -> int:
        """Stream sequence of the aggregate's last commit, from the leader; 0 when none."""

    async def state(self, stream: str) -> StreamState:
        """Extent of a stream."""

    def follow(
        self, stream: str, after: int, *, max_batch: int = 256
    ) -> AbstractAsyncContextManager[AsyncGenerator[Sequence[Recorded], None]]:
        """Commits after a sequence, in order and without gaps, for ever; batches are never empty.

        What has been stored already comes in batches of up to ``max_batch``; what is appended
        later comes as soon as it is there.
        """
