"""The runner's database dies while a worker works; in a module of its own, with its own server."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from kerma_allinone.children import postgres_server
from kerma_runner.domain.task import Phase
from kit.runner_service import eventually, running_runner
from kit.script_engine import script_input


async def test_work_goes_on_while_the_database_is_away(
    nats_url: str, servers_folder: Path, tmp_path: Path
) -> None:
    rules = {"lease_seconds": 2.0, "heartbeat_seconds": 0.3}
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
        # longer than a lease: heartbeats are heard, but cannot be kept
        await asyncio.sleep(2.5)
        await database.restart()
        go.touch()

        async def succeeded() -> bool:
            return (await runner.task(job)).phase is Phase.SUCCEEDED

        await eventually(succeeded, 30)
        assert (await runner.task(job)).lease == 1
        assert worker.process.poll() is None
