"""A rebuild of the queue beside the running one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from kerma_common.contracts import rpc_runner as rpc
from kerma_common.projection.rebuild import Compared, rebuild
from kerma_runner.adapters.heartbeat_rows import HeartbeatRows
from kerma_runner.domain.leases import LeaseKey
from kerma_runner.main import projections
from kerma_runner.read.queries import QueueRows
from kit.programs.script_engine import script_input
from kit.running.worlds.runner_service import Running


async def test_a_rebuild_keeps_the_queue_and_what_workers_said(runner: Running) -> None:
    job = await runner.submit(script_input("ok"), n_tasks=3)
    await runner.until(job, "QUEUED", n=3)
    now = datetime.now(UTC)
    await HeartbeatRows(runner.db).beat("w", (rpc.HeldLease(job, 0, 1),), now)
    compared = await rebuild(projections(runner.infra), runner.log, runner.db)
    assert Compared("task", 3, 3, True) in compared
    heard = await QueueRows(runner.db, runner.infra.reads).heard(timedelta(0))
    assert heard == {LeaseKey(job, 0, 1): now}
    runner.start_worker()
    await runner.until(job, "SUCCEEDED", n=3)
