"""Workers that can't hand back, whose disk is full, or that die beside others."""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path

from sqlalchemy import select

from kerma_allinone.children import NatsChild
from kerma_common.contracts.events import runner as ev
from kerma_runner.read.models import WORKER as WORKER_ROWS
from kit.programs.script_engine import script_input
from kit.running.worlds.runner_service import Running, as_expected, eventually, names


async def test_a_worker_that_cannot_hand_back_is_found_dead_by_the_next(
    runner: Running, nats_child: NatsChild
) -> None:
    """It is stopped while the bus is down; the lease is longer than the test may take."""
    first = runner.start_worker(slots=1)
    go = runner.folder / "go"
    job = await runner.submit(script_input("slow", go))
    await runner.until(job, "RUNNING")
    nats_child.child.send(signal.SIGKILL)
    await nats_child.child.wait()
    assert await first.terminate() == 0
    assert [len(list(home.iterdir())) for home in first.scratch.iterdir()] == [1]  # its lock
    await nats_child.restart()
    runner.start_worker(slots=1, scratch=first.scratch)
    go.touch()
    await runner.until(job, "SUCCEEDED")
    assert names(await runner.story(job))[2:4] == ["TaskLeaseExpired", "TaskRequeued"]


SMALL_DISK = (
    *("unshare", "--user", "--map-root-user", "--mount", "sh", "-c"),
    'mkdir -p "$KERMA_WORKER_SCRATCH" && mount -t tmpfs -o size=48m none "$KERMA_WORKER_SCRATCH"'
    ' && exec "$@"',
    "sh",
)


async def test_a_worker_with_a_full_disk_hands_back_and_takes_nothing_until_there_is_room(
    runner: Running,
) -> None:
    worker = runner.start_worker(slots=1, within=SMALL_DISK, reserve=16 << 20)
    go = runner.folder / "go"
    job = await runner.submit(script_input("slow", go), max_attempts=1)
    await runner.until(job, "RUNNING")
    disk = Path(f"/proc/{worker.process.pid}/root{worker.scratch}")
    with suppress(OSError), (disk / "fill").open("wb", buffering=0) as fill:
        while True:
            fill.write(bytes(1 << 20))
    go.touch()

    async def offered() -> list[dict[str, str]]:
        async with runner.db.connect() as conn:
            return list(await conn.scalars(select(WORKER_ROWS.c.engines)))

    await runner.until(job, "QUEUED")
    await eventually(lambda: as_expected(offered(), [{}]))
    assert (await runner.task(job)).attempt == 1
    assert names(await runner.story(job))[-1] == "TaskRequeued"
    (disk / "fill").unlink()
    await runner.until(job, "SUCCEEDED")
    assert [*await offered()] == [{"script": "1"}]
    assert not any(isinstance(event, ev.TaskFailed) for event in await runner.story(job))


async def test_a_task_that_fills_the_disk_itself_is_not_handed_on(runner: Running) -> None:
    runner.start_worker(slots=1, within=SMALL_DISK, reserve=16 << 20)
    job = await runner.submit(script_input("large", 60), max_attempts=1)
    await runner.until(job, "FAILED")
    assert (await runner.story(job))[-1].code == "EXIT_CODE"


async def test_a_worker_that_dies_beside_another_is_found_by_that(runner: Running) -> None:
    """No worker starts after its death; the lease is longer than the test may take."""
    first = runner.start_worker(slots=1)
    go = runner.folder / "go"
    job = await runner.submit(script_input("slow", go))
    await runner.until(job, "RUNNING")
    runner.start_worker(slots=1, scratch=first.scratch)
    other = await runner.submit(script_input("ok"))
    await runner.until(other, "SUCCEEDED")
    first.kill()
    go.touch()
    await runner.until(job, "SUCCEEDED")
    assert (await runner.task(job)).lease == 2
