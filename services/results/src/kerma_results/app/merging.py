"""Merges open result sets: each ends published or failed.

The work is found in the read model, so after a restart it goes on from the state in the log:
repeated steps give the same bytes and change nothing. A result set is published once the read model
has applied its completion, so that every page can be read.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from kerma_common.commands.context import CommandContext
from kerma_common.contracts.subjects import result_set_subject
from kerma_common.errors import DomainRejected, UnreadableHistory
from kerma_common.projection.retries.failures import delays, is_transient, pause
from kerma_common.projection.retries.persistence import Persistence
from kerma_common.telemetry.traces import span
from kerma_results.app.ports import Unmergeable
from kerma_results.app.turns import Turns
from kerma_results.domain.commands import (
    CompleteMerge,
    FailMerge,
    MaterialiseEstimator,
    PublishResultSet,
    StartMerge,
)
from kerma_results.domain.result_set import RESULT_SET, Phase
from kerma_results.pages.json_page import metadata_json
from kerma_results.read.project import RESULTS

if TYPE_CHECKING:
    from datetime import datetime

    from kerma_common.commands.bus import CommandBus, Executed
    from kerma_common.commands.consistency import Positions
    from kerma_common.eventlog.port import EventLog
    from kerma_results.app.ports import Merger, PageStore
    from kerma_results.domain.result_set import ResultSet
    from kerma_results.read.queries import JobSource, ResultQueries, Unfinished

AT_ONCE = 2
"""Merges that run at a time; each holds the pages of about two tasks in memory."""
LONG_SECONDS = 10.0
"""A merge that takes longer makes room for the next and becomes a long one."""
LONG_AT_ONCE = 2
"""Long merges that run beside the others, one for each owner."""
REST_SECONDS = 5.0
"""Longest wait after a fault: a full disk may have room again."""
PATIENCE_SECONDS = 10.0
"""Longest wait for a position of another process, whose message may be lost."""
_log = logging.getLogger(__name__)


class Superseded(Exception):  # noqa: N818
    """Another process finished the result set, or the job was deleted."""


@dataclass(slots=True)
class Merging:
    """Runs the merges of this process."""

    queries: ResultQueries
    merger: Merger
    pages: PageStore
    log: EventLog
    bus: CommandBus
    positions: Positions
    clock: Callable[[], datetime]
    retries: Persistence = field(default_factory=lambda: Persistence("results", "merge"))
    _busy: set[str] = field(default_factory=set)
    _given_up: set[str] = field(default_factory=set)
    _quick: Turns = field(default_factory=lambda: Turns(AT_ONCE, AT_ONCE))
    _lasting: Turns = field(default_factory=lambda: Turns(LONG_AT_ONCE, 1))
    _long: set[str] = field(default_factory=set)

    async def run(self) -> None:
        """Look for work whenever the read model has advanced, until cancelled."""
        waits = delays()
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    seq = await self._look(group)
                    await self.positions.wait(RESULTS.name, "RESULTS", seq + 1, PATIENCE_SECONDS)
                except Exception as error:
                    self.retries.failed(self._look, error)
                    await pause(waits)
                else:
                    self.retries.recovered(self._look)
                    waits = delays()

    async def _look(self, group: asyncio.TaskGroup) -> int:
        """Start merges of unfinished result sets; return the position of the read model."""
        seq, found = await self.queries.unfinished()
        for work in found:
            if work.job_id not in self._busy | self._given_up:
                self._busy.add(work.job_id)
                group.create_task(self._settle(work))
        return seq

    async def _settle(self, work: Unfinished) -> None:
        """Merge and publish one result set, with retries.

        Faults count as attempts, outages do not. A result set whose history cannot be read is given
        up: nothing can be recorded about it.
        """
        attempt, waits = work.attempt + 1, delays()
        try:
            while True:
                try:
                    await self._finish(work, attempt)
                except UnreadableHistory:
                    _log.exception("merge of %s given up", work.job_id)
                    self._given_up.add(work.job_id)
                    return
                except Exception as error:
                    transient = is_transient(error)
                    _log.warning("merge of %s: %r", work.job_id, error, exc_info=not transient)
                    if transient:
                        self.retries.failed(work.job_id, error)
                        await pause(waits)
                        continue
                    attempt += 1
                    await asyncio.sleep(REST_SECONDS * random.uniform(0.5, 1.0))  # noqa: S311
                else:
                    return
        finally:
            self.retries.recovered(work.job_id)
            self._busy.discard(work.job_id)
            self._long.discard(work.job_id)

    async def _finish(self, work: Unfinished, attempt: int) -> None:
        """Try once. If another process was faster, return: the next look finds what is left."""
        story = await self._story(work.job_id)
        with span("merge", story.trace):
            await self._finish_story(work, attempt, story)

    async def _finish_story(self, work: Unfinished, attempt: int, story: _Story) -> None:
        try:
            if not work.complete:
                source = await self.queries.source(work.job_id)
                if source is None:
                    raise Superseded("the job was deleted")
                merge = partial(self._merge, work, attempt, story, source)
                completed = await self._in_turn(source.owner, work.job_id, merge)
                await self._until_readable(completed)
            await story.execute(PublishResultSet())
        except Unmergeable as verdict:
            await story.execute(FailMerge(verdict.code, verdict.message))
        except (DomainRejected, Superseded) as verdict:
            _log.info("merge of %s ends here: %s", work.job_id, verdict)

    async def _in_turn(
        self, owner: str, job_id: str, merge: Callable[[], Coroutine[Any, Any, int]]
    ) -> int:
        """Merge in turn. A long merge keeps only long ones waiting.

        Once it has taken ``LONG_SECONDS``, it goes on beside the others; if too many long ones run,
        it starts again when they have ended.
        """
        running: asyncio.Task[int] | None = None
        try:
            if job_id not in self._long:
                async with self._quick.turn(owner):
                    running = asyncio.create_task(merge())
                    if (await asyncio.wait([running], timeout=LONG_SECONDS))[0]:
                        return running.result()
                    self._long.add(job_id)
                    if not self._lasting.free(owner):
                        await _end(running)
                        running = None
            async with self._lasting.turn(owner):
                running = running or asyncio.create_task(merge())
                return await running
        finally:
            await _end(running)

    async def _merge(self, work: Unfinished, attempt: int, story: _Story, source: JobSource) -> int:
        """Merge and return the sequence of the commit that completes the result set."""
        started = await story.execute(StartMerge(attempt), str(attempt))
        if started.state.phase is not Phase.MERGING:
            raise Superseded(started.state.phase)
        outputs = await self.queries.outputs(work.job_id)
        if len(outputs) != work.tasks:
            raise RuntimeError(f"{len(outputs)} outputs are known, {work.tasks} are to be merged")
        estimators = await self.merger.merge(source, outputs)
        for index, estimator in enumerate(estimators):
            metadata = metadata_json(
                estimator, tasks=work.tasks, expected=work.expected, partial=work.partial
            )
            metadata_ref = await self.pages.keep_metadata(metadata)
            kept = await self.pages.keep_pages(estimator)
            await story.execute(
                MaterialiseEstimator(
                    index,
                    estimator.name,
                    metadata_ref,
                    kept.pages,
                    kept.manifest_ref,
                    kept.stored_bytes + metadata_ref.size,
                ),
                str(attempt),
                str(index),
            )
        primaries = sum(output.primaries for output in outputs)
        return (await story.execute(CompleteMerge(work.tasks, primaries))).seq

    async def _until_readable(self, seq: int) -> None:
        while not await self.positions.wait(RESULTS.name, "RESULTS", seq, PATIENCE_SECONDS):
            _log.warning("the read model has not reached %d of RESULTS", seq)

    async def _story(self, job_id: str) -> _Story:
        history = await self.log.load(result_set_subject(job_id))
        opened = next(record for record in history if record.foreign is None)
        correlation, cause = opened.commit.meta.correlation, opened.commit.events[0].id
        return _Story(self.bus, self.clock, job_id, correlation, cause, opened.traceparent)


async def _end(task: asyncio.Task[Any] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class _Story:
    """Executes commands that follow from one open result set."""

    bus: CommandBus
    clock: Callable[[], datetime]
    job_id: str
    correlation: str
    causation: str
    trace: str | None

    async def execute(self, command: object, *step: str) -> Executed[ResultSet]:
        """Execute ``command``; its name and ``step`` make a repetition harmless."""
        context = CommandContext(
            actor="svc:results",
            cause=("merge", self.job_id, type(command).__name__, *step),
            correlation=self.correlation,
            now=self.clock(),
            causation=self.causation,
        )
        subject = result_set_subject(self.job_id)
        return await self.bus.execute(RESULT_SET, subject, command, context)
