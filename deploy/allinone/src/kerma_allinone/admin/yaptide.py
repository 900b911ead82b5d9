"""Import of an existing YAPTIDE database."""

from __future__ import annotations

from collections.abc import Callable

from kerma_allinone.yaptide.importing import Import
from kerma_allinone.yaptide.report import Report
from kerma_allinone.yaptide.rows import open_source
from kerma_allinone.yaptide.target import open_target
from kerma_allinone.yaptide.writing import DryRun, Storing


async def take_over(
    url: str,
    report: Report,
    begin: Callable[[int], Callable[[int], None]],
    *,
    dry_run: bool,
    leave_active: bool,
) -> str:
    """Import a database; return the revision of its schema.

    ``begin`` is called with the number of jobs, and returns what to call with the number of further
    ones that are done. The report is filled also if the import ends early. Raises InvalidRequest,
    Unavailable.
    """
    async with open_source(url) as source, open_target() as target:
        total = (await source.counts(["Simulation"]))["Simulation"]
        writer = DryRun(target) if dry_run else Storing(target)
        run = Import(source, writer, report, begin(total), leave_active)
        await run.run()
        return source.revision.name
