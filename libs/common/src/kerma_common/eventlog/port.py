"""The event log as the rest of the system sees it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from kerma_common.contracts.envelope import Commit, Recorded
    from kerma_common.contracts.subjects import Subject


@dataclass(frozen=True, slots=True)
class Appended:
    """The place of a commit. ``duplicate``: an earlier try already stored it."""

    stream: str
    seq: int
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class StreamState:
    """First and last sequence of a stream, and its epoch, which a restore changes."""

    first: int
    last: int
    epoch: str


class EventLog(Protocol):
    """Append with optimistic concurrency, load one aggregate, follow one stream.

    Reads may return foreign messages (``Recorded.foreign``): they have no events, but their
    sequences count.

    Raises ``ConcurrencyConflict`` (another commit came first), ``OutcomeUnknown`` (may or may not
    be stored; the same commit may be retried) and ``Unavailable`` from ``kerma_common.errors``.
    """

    async def append(self, subject: Subject, expected: int, commit: Commit) -> Appended:
        """Store ``commit`` if the last message of ``subject`` has stream sequence ``expected``.

        0 means that the subject must not exist. Retrying a stored commit returns the same as the
        first try.
        """

    async def load(self, subject: Subject) -> Sequence[Recorded]:
        """Return all messages of an aggregate, read from the leader; () if there are none.

        Raises UnreadableHistory if commits are missing in between.
        """

    async def history(self, stream: str, pattern: str) -> Sequence[Recorded]:
        """Return all messages on the subjects of ``pattern`` (wildcards allowed), in stream order.

        They reach to the end that the leader knew of when it was asked.
        """

    async def last_seq(self, subject: Subject) -> int:
        """Return the stream sequence of the aggregate's last commit, from the leader; 0 if none."""

    async def state(self, stream: str) -> StreamState:
        """Return the extent of a stream."""

    async def before(self, stream: str, moment: datetime) -> int:
        """Return the sequence after which everything comes that was stored since ``moment``.

        The times are those of the server. A server that is behind may return an earlier sequence.
        """

    def follow(
        self, stream: str, after: int, *, max_batch: int = 256
    ) -> AbstractAsyncContextManager[AsyncGenerator[Sequence[Recorded], None]]:
        """Yield commits after a sequence, in order and without gaps, until closed.

        Batches are never empty. Commits that are already stored come in batches of up to
        ``max_batch``, later ones as soon as they are appended.
        """
