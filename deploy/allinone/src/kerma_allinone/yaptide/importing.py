"""The import: users first, then jobs in batches.

Everything is stored under ids and causes that follow from YAPTIDE's, so an import that was killed is
run again, and a later one adds what is new. The blobs of a batch come first, then its results, then,
once their rows are committed, its jobs: whoever sees a job can read everything of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from kerma_allinone.yaptide.convert import ENDED, ORIGIN, JobConversion, Made, refusal
from kerma_allinone.yaptide.report import Note, Report
from kerma_allinone.yaptide.rows import JobRow, JobRows, Source, UserRow
from kerma_allinone.yaptide.schema import TABLES
from kerma_auth.adapters.passwords.foreign_hashes import parse_hash
from kerma_auth.app.imports import Taken
from kerma_common.clock import system_clock
from kerma_common.contracts.ids import UserId
from kerma_common.errors import Forbidden
from kerma_common.security.principal import KEYCLOAK, NATIVE
from kerma_jobs.read.known import GONE

SOURCES = {"YaptideUser": NATIVE, "KeycloakUser": KEYCLOAK}
"""Our names of YAPTIDE's providers."""
BATCH_JOBS = 200
BATCH_BYTES = 16 << 20
"""Bytes of documents of a batch, unless a single job has more."""
BATCHES = 2
"""Batches under way: one is stored while the next is converted."""
MOST_JOB_BYTES = 512 << 20
"""Bytes of all documents of one job, compressed; all of them are in memory together."""
_DOCUMENTS = (("Input", "inputs"), ("Logfiles", "logs"), ("Estimator", "estimators"))


class Writer(Protocol):
    """Stores what was converted; ``DryRun`` only looks whether it could."""

    async def user(self, source: str, row: UserRow, secret_hash: str | None) -> Taken:
        """Store a user. Raises Forbidden."""

    async def known(self, job_ids: Sequence[str]) -> dict[str, str]:
        """Return the origin of those jobs that exist."""

    async def jobs(self, made: Sequence[Made], failed: Callable[[Made, str], None]) -> None:
        """Store jobs with all that belongs to them; report those that are refused."""

    async def end(self) -> None:
        """Wait until users see what was stored."""


@dataclass(slots=True)
class Import:
    """One run. ``leave_active``: jobs that have not ended wait for a later run.

    ``progress`` is called with the number of further jobs that are done.
    """

    source: Source
    writer: Writer
    report: Report
    progress: Callable[[int], None]
    leave_active: bool = False
    _owners: dict[int, UserId | None] = field(default_factory=dict)
    _converting: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> None:
        """Take over everything that is new. Raises Unavailable; a further run goes on then."""
        self.report.found.update(await self.source.counts(TABLES))
        for user in await self.source.users():
            await self._take_user(user)
        room, after = asyncio.Semaphore(BATCHES), 0
        try:
            async with asyncio.TaskGroup() as group:
                while jobs := await self.source.jobs(after):
                    after = jobs[-1].id
                    rows = await self.source.rows_of(await self._new(jobs))
                    for batch in _batches(self._small(rows)):
                        await room.acquire()
                        group.create_task(self._take(batch, room, await self._documents(batch)))
        except BaseExceptionGroup as faults:
            raise faults.exceptions[0] from None
        await self.writer.end()

    async def _take_user(self, row: UserRow) -> None:
        report = self.report
        self._owners[row.id] = None
        if (source := SOURCES.get(row.auth_provider)) is None:
            report.skip(Note("User", row.id, f"its provider is {row.auth_provider[:64]}"))
            return
        secret_hash = row.password_hash if source == NATIVE else None
        if source == NATIVE and (secret_hash is None or parse_hash(secret_hash) is None):
            lacks = "no password" if secret_hash is None else "a password hash of unknown form"
            secret_hash = None
            report.change(Note("User", row.id, f"has {lacks}: an operator must reset it"))
        try:
            taken = await self.writer.user(source, row, secret_hash)
        except Forbidden as refused:
            report.skip(Note("User", row.id, refused.message))
            return
        self._owners[row.id] = UserId(taken.user_id)
        if not taken.new:
            report.known["User"] += 1
            return
        report.taken["User"] += 1
        if taken.equals:
            reason = (
                "has a name that equals another's here: both log in with theirs as it is written"
            )
            report.change(Note("User", row.id, reason))

    async def _new(self, jobs: Sequence[JobRow]) -> list[JobRow]:
        """Return the jobs to take over."""
        known = await self.writer.known([job.job_id for job in jobs if refusal(job) is None])
        new = []
        for job in jobs:
            if known.get(job.job_id) in (ORIGIN, GONE):
                self.report.known["Simulation"] += 1
            elif reason := self._reason(job, known):
                self.report.skip(Note("Simulation", job.id, reason))
            else:
                new.append(job)
        self.progress(len(jobs) - len(new))
        return new

    def _reason(self, job: JobRow, known: dict[str, str]) -> str | None:
        if job.job_id in known:
            return "this Kerma has another job with its job_id"
        if job.user_id is None or job.user_id not in self._owners:
            return "it belongs to nobody"
        if self._owners[job.user_id] is None:
            return "its user was skipped"
        if self.leave_active and job.job_state not in ENDED:
            return "it has not ended"
        return refusal(job)

    def _small(self, jobs: Iterable[JobRows]) -> Iterator[JobRows]:
        for rows in jobs:
            if rows.size <= MOST_JOB_BYTES:
                yield rows
                continue
            reason = f"its documents have more than {MOST_JOB_BYTES >> 20} MiB"
            self.report.skip(Note("Simulation", rows.job.id, reason))
            self.progress(1)

    async def _documents(self, batch: Sequence[JobRows]) -> dict[tuple[str, int], bytes | None]:
        wanted = {
            table: [row.id for rows in batch for row in getattr(rows, name)]
            for table, name in _DOCUMENTS
        }
        wanted["Page"] = [
            page.id for rows in batch for pages in rows.pages.values() for page in pages
        ]
        found: dict[tuple[str, int], bytes | None] = {}
        for table, ids in wanted.items():
            if ids:
                columns = await self.source.documents(table, ids)
                found |= {(table, row): column for row, column in columns.items()}
        return found

    async def _take(
        self,
        batch: Sequence[JobRows],
        room: asyncio.Semaphore,
        documents: dict[tuple[str, int], bytes | None],
    ) -> None:
        try:
            async with self._converting:
                conversions = [self._conversion(rows, documents) for rows in batch]
                made = await asyncio.to_thread(lambda: [one.convert() for one in conversions])
            documents.clear()
            for conversion in conversions:
                self.report.note(conversion.omissions, conversion.changes)
            refused: dict[str, str] = {}
            await self.writer.jobs(made, lambda job, why: refused.update({job.job.job_id: why}))
            for rows, job in zip(batch, made, strict=True):
                if reason := refused.get(job.job.job_id):
                    self.report.skip(Note("Simulation", rows.job.id, reason))
                else:
                    self.report.taken.update(job.rows)
            self.progress(len(batch))
        finally:
            room.release()

    def _conversion(
        self, rows: JobRows, documents: dict[tuple[str, int], bytes | None]
    ) -> JobConversion:
        owner = self._owners[rows.job.user_id or 0]
        assert owner is not None
        names = self.source.revision.names
        return JobConversion(rows, owner, documents, system_clock(), names)


def _batches(jobs: Iterable[JobRows]) -> Iterator[list[JobRows]]:
    batch: list[JobRows] = []
    size = 0
    for rows in jobs:
        if batch and (len(batch) == BATCH_JOBS or size + rows.size > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(rows)
        size += rows.size
    if batch:
        yield batch
