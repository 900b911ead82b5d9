"""``kerma bench dispatch``: a round of the dispatcher over a long history and a long queue."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import sqlalchemy as sa
import uvloop
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from kerma_allinone.children import postgres_server
from kerma_common.contracts.rpc_runner import Lane, Ticket
from kerma_common.db.engine import create_engine
from kerma_common.db.reads import Reads, open_reads
from kerma_common.projection.rows.schema import create_read_models
from kerma_common.settings import PgSettings
from kerma_runner.app.dispatcher import Dispatcher
from kerma_runner.read.models import HEARTBEATS, TASK, WORKER, WORKER_HEARTBEAT
from kerma_runner.read.open_tasks import OpenTasks
from kerma_runner.read.project import QUEUE
from kerma_runner.settings import RunnerSettings
from kerma_tools.bench.figure import Figure

ENDED, USERS, WAITING, SLOTS, ROUNDS = 1_000_000, 10, 100_000, 16, 30
LIMIT_MS = 20.0


def dispatcher_round() -> Iterator[Figure]:
    """Measure the median of rounds that fill all free slots, in ms; tickets are only counted."""
    with TemporaryDirectory(prefix="kerma-bench-") as folder:
        Path(folder).chmod(0o711)
        measured = uvloop.run(_measure(Path(folder)))
    load = f"{ENDED / 1e6:g} M ended, {WAITING:,} waiting tasks of {USERS} users"
    yield Figure(
        f"dispatcher round, {load}", measured, "ms", "limit", LIMIT_MS, 1.0, lower_is_better=True
    )


class _Counted:
    """Tickets that nobody takes."""

    def __init__(self) -> None:
        self.issued = 0

    async def open(self, lane: Lane) -> None:
        """Do nothing: there is nothing to open."""

    async def clear(self, lane: Lane) -> None:
        """Do nothing: there is nothing to drop."""

    async def issue(self, lane: Lane, ticket: Ticket, trace: str | None) -> None:  # noqa: ARG002
        """Count the ticket."""
        self.issued += 1

    async def pending(self, lane: Lane) -> int:  # noqa: ARG002
        """Return the number of all tickets."""
        return self.issued


async def _measure(folder: Path) -> float:
    async with postgres_server(folder / "postgres") as server:
        settings = PgSettings(url=SecretStr(server.url))
        db = create_engine(settings, "bench", "runner")
        reads = open_reads(settings, "bench", "runner")
        try:
            await _fill(db)
            return await _rounds(reads)
        finally:
            await reads.close()
            await db.dispose()


async def _rounds(reads: Reads) -> float:
    took = []
    for _ in range(ROUNDS):
        tickets = _Counted()
        # a new dispatcher, as after a takeover: it still has every ticket to issue
        dispatcher = Dispatcher(
            OpenTasks(reads), tickets, lambda: datetime.now(UTC), RunnerSettings().terms
        )
        began = perf_counter()
        await dispatcher.round()
        took.append(perf_counter() - began)
        if tickets.issued != 2 * SLOTS:
            raise RuntimeError(f"{tickets.issued} tickets were issued, not {2 * SLOTS}")
    return median(took) * 1e3


async def _fill(db: AsyncEngine) -> None:
    """Insert ended and waiting tasks, one job per user; statistics as autovacuum leaves them."""
    async with db.begin() as conn:
        await conn.run_sync(create_read_models, "runner", [QUEUE])
        await conn.execute(sa.schema.CreateSchema("runner_process"))
        await conn.run_sync(HEARTBEATS.create_all)
        for state, count in (("SUCCEEDED", ENDED), ("QUEUED", WAITING)):
            n = sa.func.generate_series(0, count - 1).table_valued("n").render_derived("s").c.n
            of_job = count // USERS if state == "QUEUED" else 1000
            job = sa.func.concat(state, "-", sa.func.div(n, of_job))
            owner = sa.func.concat("user-", sa.func.div(n, of_job) % USERS)
            row = (owner, job, n % of_job, "pool", "geant4", state, 1, n)
            columns = ("owner", "job_id", "index", "resource_class", "engine", "state", "attempt")
            query = sa.select(*(sa.literal(v) if isinstance(v, str | int) else v for v in row))
            await conn.execute(sa.insert(TASK).from_select([*columns, "queued_seq"], query))
        offer = {"resource_class": "pool", "engines": {"geant4": "1"}, "digests": {}}
        await conn.execute(
            sa.insert(WORKER).values(
                worker="w", slots=SLOTS, substitutes={}, sandbox="off", **offer
            )
        )
        far = datetime(2100, 1, 1, tzinfo=UTC)
        await conn.execute(sa.insert(WORKER_HEARTBEAT).values(worker="w", seen=far, leases=[]))
    plain = db.execution_options(isolation_level="AUTOCOMMIT")
    async with plain.connect() as conn:
        await conn.execute(sa.text("ANALYZE runner.task"))
