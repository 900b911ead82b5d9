"""Losses: ends tasks whose history cannot be read, so that their job can end.

Out: TasksLost.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import Counter

from kerma_common.contracts.events import runner as ev
from kerma_common.contracts.subjects import (
    task_loss_subject,
    task_set_subject,
    task_subject,
    tasks_pattern,
)
from kerma_runner.domain.task_loss import TASK_LOSS, LoseTasks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kerma_common.commands.bus import CommandBus
    from kerma_common.commands.context import CommandContext
    from kerma_common.contracts.envelope import Recorded
    from kerma_common.errors import UnreadableHistory
    from kerma_common.eventlog.port import EventLog

LOST = Counter("runner_tasks_lost_total", "Tasks whose history could not be read")
REASON = "The record of this task is damaged and cannot be read; submit the job again"
"""Users see this; the log names the place in the stream."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Losses:
    """Declares tasks lost; ``log`` is the one behind the command bus."""

    bus: CommandBus
    log: EventLog

    async def lose(
        self, job_id: str, tasks: Collection[int], error: UnreadableHistory, ctx: CommandContext
    ) -> None:
        """Declare tasks lost, except those that ended before their history was damaged.

        Repeats change nothing. Raises the error if a newer release wrote the history.
        """
        if error.newer:
            raise error
        ended = _ended(await self._histories(job_id, tasks))
        command = LoseTasks(job_id, [index for index in tasks if index not in ended], REASON)
        done = await self.bus.execute(TASK_LOSS, task_loss_subject(job_id), command, ctx)
        for event in done.events:
            if isinstance(event, ev.TasksLost):
                LOST.inc(len(event.tasks))
                _log.error(
                    "tasks lost",
                    extra={"job": job_id, "tasks": event.tasks[:20], "reason": error.message},
                )

    async def _histories(self, job_id: str, tasks: Collection[int]) -> Sequence[Recorded]:
        stream = task_set_subject(job_id).stream
        if len(tasks) == 1:
            [index] = tasks
            own = await self.log.load(task_subject(job_id, index))
        else:
            own = await self.log.history(stream, tasks_pattern(job_id))
        return [*own, *await self.log.load(task_set_subject(job_id))]


def _ended(history: Iterable[Recorded]) -> set[int]:
    """Return the tasks that have a readable final event: readers have counted these."""
    ended: set[int] = set()
    for record in history:
        try:
            events = [stored.decode() for stored in record.commit.events]
        except (ValueError, KeyError, TypeError):
            continue  # readers quarantine the whole commit
        for event in events:
            ended.update(_ends(event))
    return ended


def _ends(event: object) -> Iterable[int]:
    match event:
        case ev.TaskSucceeded() | ev.TaskCanceled():
            return (event.index,)
        case ev.TaskFailed():
            return (event.index,) if event.final else ()
        case ev.TasksCanceled():
            return (index for first, stop in event.tasks for index in range(first, stop))
        case _:
            return ()
