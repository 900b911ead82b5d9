"""Check that a log is still the one that was read before.

After a lost tail or a restored stream, a reader would append a different history to the one it has
read; it must stop instead.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kerma_common.errors import Unavailable
from kerma_common.eventlog.pull import LogWentBackwards

if TYPE_CHECKING:
    from kerma_common.eventlog.port import EventLog

READ_SECONDS = 20.0
RUNBOOK = "docs/runbooks/log-went-backwards.md"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a reader has come. ``commit`` is the id of the commit at ``seq``, None if unknown."""

    epoch: str
    seq: int
    commit: str | None


async def check(log: EventLog, stream: str, checkpoint: Checkpoint) -> None:
    """Raise LogWentBackwards if ``stream`` does not continue after ``checkpoint``.

    Raises Unavailable if the log does not deliver the commit at the checkpoint in time.
    """
    state = await log.state(stream)
    if state.epoch != checkpoint.epoch:
        raise _halt(stream, f"epoch is {state.epoch}, {checkpoint.epoch} was read")
    if state.last < checkpoint.seq:
        raise _halt(stream, f"ends at {state.last}, {checkpoint.seq} was read")
    if checkpoint.commit is None or checkpoint.seq < max(state.first, 1):
        return
    try:
        async with (
            asyncio.timeout(READ_SECONDS),
            log.follow(stream, checkpoint.seq - 1, max_batch=1) as commits,
        ):
            found = (await anext(commits))[0]
    except TimeoutError:
        raise Unavailable(f"{stream}:{checkpoint.seq} cannot be read in time") from None
    # A later sequence means that the message was purged; the history is still the same.
    if found.seq == checkpoint.seq and found.commit.id != checkpoint.commit:
        raise _halt(stream, f"holds {found.commit.id} at {found.seq}, {checkpoint.commit} was read")


def _halt(stream: str, what: str) -> LogWentBackwards:
    return LogWentBackwards(f"{stream} {what}; see {RUNBOOK}")
