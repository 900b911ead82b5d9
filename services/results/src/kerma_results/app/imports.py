"""Takes over results of another system, whose blobs are stored.

Out: EstimatorMaterialised, ResultSetImported.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from kerma_common.commands.bus import CommandBus
from kerma_common.commands.consistency import Positions
from kerma_common.commands.context import CommandContext
from kerma_common.contracts.subjects import result_set_subject
from kerma_results.domain.commands import ImportEstimators, ImportResultSet, MaterialiseEstimator
from kerma_results.domain.result_set import RESULT_SET
from kerma_results.read.project import RESULTS

COMMIT_BYTES = 160 * 1024
"""Bytes of estimators in one commit, which has room for 256 KiB."""

HINT_SECONDS = 2.0
"""How long a position may be unknown because its message was lost."""


@dataclass(frozen=True, slots=True)
class StoredResults:
    """The estimators of a job, each with the bytes that it takes in an event."""

    job_id: str
    owner: str
    estimators: Sequence[tuple[MaterialiseEstimator, int]]
    tasks: int
    expected: int
    partial: bool


@dataclass(frozen=True, slots=True)
class ResultImports:
    """Stores result sets; one that is there already stays as it is."""

    bus: CommandBus
    positions: Positions
    clock: Callable[[], datetime]

    async def take(self, found: StoredResults, origin: str, actor: str) -> int:
        """Store all estimators of a job; return the sequence after which they can be read."""
        subject = result_set_subject(found.job_id)
        context = CommandContext(actor, ("import", origin), f"import-{origin}", self.clock())
        *former, last = _groups(found.estimators)
        for number, some in enumerate(former):
            command = ImportEstimators(found.job_id, some)
            await self.bus.execute(RESULT_SET, subject, command, context.step(str(number)))
        whole = ImportResultSet(
            found.job_id, found.owner, last, found.tasks, found.expected, found.partial
        )
        fresh = not former
        return (await self.bus.execute(RESULT_SET, subject, whole, context, fresh=fresh)).seq

    async def readable(self, seq: int, seconds: float) -> bool:
        """Return whether the rows of everything up to ``seq`` are committed in time."""
        until = time.monotonic() + seconds
        while not await self.positions.wait(RESULTS.name, "RESULTS", seq, HINT_SECONDS):
            if time.monotonic() > until:
                return False
        return True


def _groups(
    estimators: Sequence[tuple[MaterialiseEstimator, int]],
) -> Iterator[tuple[MaterialiseEstimator, ...]]:
    """Yield groups that fit into a commit, at least one."""
    group: list[MaterialiseEstimator] = []
    size = 0
    for estimator, more in estimators:
        if group and size + more > COMMIT_BYTES:
            yield tuple(group)
            group, size = [], 0
        group.append(estimator)
        size += more
    yield tuple(group)
