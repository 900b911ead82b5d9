"""The runner's database dies while a worker runs; in its own module with its own server."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from kerma_allinone.children import postgres_server
from kerma_runner.domain.task import Phase
from kit.programs.script_engine import script_input
from kit.running.worlds.runner_service import (
    HEARTBEAT_SECONDS,
    SHORT_LEASE,
    eventually,
    running_runner,
)


async def test_work_goes_on_while_the_database_is_away(
    nats_url: str, servers_folder: Path, tmp_path: Path
) -> None:
    rules = {"lease_seconds": SHORT_LEASE, "heartbeat_seconds": HEARTBEAT_SECONDS}
    async with (
        postgres_server(servers_folder / "runner-database") as database,
        running_runner(nats_url, database.url, tmp_path, **rules) as runner,
    ):
        worker = runner.start_worker(slots=1)
        go = runner.folder / "go"
        job = await runner.submit(script_input("slow", go), max_attempts=1)
        await runner.until(job, "RUNNING")
        database.child.send(signal.SIGKILL)
        await database.child.wait()
        # longer than a lease: heartbeats arrive, but cannot be stored
        await asyncio.sleep(SHORT_LEASE + 0.5)
        await database.restart()
        go.touch()

        async def succeeded() -> bool:
            return (await runner.task(job)).phase is Phase.SUCCEEDED

        await eventually(succeeded)
        assert (await runner.task(job)).lease == 1
        assert worker.process.poll() is None
