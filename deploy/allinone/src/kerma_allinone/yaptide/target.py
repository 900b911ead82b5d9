"""What an import writes to: users, blobs, results and jobs of this Kerma."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from kerma_allinone.admin.system import open_service
from kerma_auth.app.imports import AccountImports
from kerma_auth.main import handlers_of
from kerma_common.blobs.store import BlobStore
from kerma_common.clock import system_clock
from kerma_jobs.app.imports import JobImports
from kerma_jobs.read.known import KnownJobs
from kerma_results.app.imports import ResultImports


@dataclass(frozen=True, slots=True)
class Target:
    """Ports of the services."""

    accounts: AccountImports
    jobs: JobImports
    known: KnownJobs
    results: ResultImports
    blobs: BlobStore


@asynccontextmanager
async def open_target() -> AsyncGenerator[Target, None]:
    """Open the services with their settings."""
    async with AsyncExitStack() as stack:
        auth = await stack.enter_async_context(open_service("auth"))
        jobs = await stack.enter_async_context(open_service("jobs"))
        results = await stack.enter_async_context(open_service("results"))
        # their services tell how far they have come
        hearing = [asyncio.create_task(infra.positions.run()) for infra in (jobs, results)]
        try:
            yield Target(
                AccountImports(auth.bus, handlers_of(auth).accounts.vault, system_clock),
                JobImports(jobs.bus, jobs.positions, system_clock),
                KnownJobs(jobs.db),
                ResultImports(results.bus, results.positions, system_clock),
                jobs.blobs,
            )
        finally:
            for task in hearing:
                task.cancel()
            await asyncio.gather(*hearing, return_exceptions=True)
