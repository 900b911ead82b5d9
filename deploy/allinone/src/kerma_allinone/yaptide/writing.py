"""Writers of an import: one that stores, and one that only looks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kerma_allinone.yaptide.convert import ORIGIN, Made
from kerma_allinone.yaptide.rows import UserRow
from kerma_allinone.yaptide.target import Target
from kerma_auth.app.imports import Taken
from kerma_common.errors import DomainRejected, Unavailable
from kerma_results.app.imports import StoredResults

ACTOR = "admin"
WRITERS = 32
"""Commits of a batch that are under way at a time."""
BLOB_BYTES = 32 << 20
"""Bytes of blobs that are written before they are synced to disk."""
PATIENCE_SECONDS = 120.0
"""How long the services may take to commit the rows of a batch."""
NOT_SHOWN = (
    "the {} service does not commit what was stored; is it running? Run the import again then"
)


@dataclass(slots=True)
class Storing:
    """Stores everything."""

    target: Target
    _last: int = 0
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(WRITERS))

    async def user(self, source: str, row: UserRow, secret_hash: str | None) -> Taken:
        """See ``Writer``."""
        return await self.target.accounts.take(source, row.username, secret_hash, ORIGIN, ACTOR)

    async def known(self, job_ids: Sequence[str]) -> dict[str, str]:
        """See ``Writer``."""
        return await self.target.known.of(job_ids)

    async def jobs(self, made: Sequence[Made], failed: Callable[[Made, str], None]) -> None:
        """See ``Writer``."""
        await self._blobs(made)
        positions = await asyncio.gather(*map(self._results, made))
        last = max(positions, default=0)
        if last and not await self.target.results.readable(last, PATIENCE_SECONDS):
            raise Unavailable(NOT_SHOWN.format("results"))
        await asyncio.gather(
            *(self._job(job, at, failed) for job, at in zip(made, positions, strict=True))
        )

    async def end(self) -> None:
        """See ``Writer``."""
        if not await self.target.jobs.shown(self._last, PATIENCE_SECONDS):
            raise Unavailable(NOT_SHOWN.format("jobs"))

    async def _blobs(self, made: Sequence[Made]) -> None:
        waiting, size = [], 0
        for job in made:
            for blob in job.blobs:
                waiting.append(blob)
                size += len(blob[0])
                if size >= BLOB_BYTES:
                    await self.target.blobs.put_all(waiting)
                    waiting, size = [], 0
            job.blobs.clear()
        await self.target.blobs.put_all(waiting)

    async def _results(self, made: Made) -> int:
        """Store the results of a job; return where, 0 if it has none."""
        if not made.estimators:
            return 0
        job = made.job
        estimators = [(prepared.command, prepared.size) for prepared in made.estimators]
        merged = job.n_tasks if job.tasks_merged is None else job.tasks_merged
        found = StoredResults(job.job_id, job.owner, estimators, merged, job.n_tasks, job.partial)
        async with self._turns:
            return await self.target.results.take(found, ORIGIN, ACTOR)

    async def _job(self, made: Made, at: int, failed: Callable[[Made, str], None]) -> None:
        after = {"RESULTS": at} if at else {}
        try:
            async with self._turns:
                self._last = max(self._last, await self.target.jobs.take(made.job, ACTOR, after))
        except DomainRejected as refused:
            failed(made, refused.message)


@dataclass(frozen=True, slots=True)
class DryRun:
    """Looks whether everything could be stored."""

    target: Target

    async def user(
        self,
        source: str,
        row: UserRow,
        secret_hash: str | None,  # noqa: ARG002 - part of the protocol
    ) -> Taken:
        """See ``Writer``."""
        return await self.target.accounts.find(source, row.username, ORIGIN)

    async def known(self, job_ids: Sequence[str]) -> dict[str, str]:
        """See ``Writer``."""
        return await self.target.known.of(job_ids)

    async def jobs(self, made: Sequence[Made], failed: Callable[[Made, str], None]) -> None:
        """See ``Writer``."""

    async def end(self) -> None:
        """See ``Writer``."""
