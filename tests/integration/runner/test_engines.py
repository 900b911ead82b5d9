"""Workers with different engines: which one gets a task, and which ones count."""

from __future__ import annotations

import signal

import pytest

from kerma_common.contracts.events import runner as ev
from kit.programs.script_engine import script_input
from kit.running.worlds.runner_service import SHORT_LEASE, Running, Worker, eventually


async def told_of(runner: Running, worker: Worker) -> list[object]:
    """Return the events of the worker so far, in order."""
    process = f"-{worker.process.pid}-"
    last = (await runner.log.state("RUNNER")).last
    found: list[object] = []
    async with runner.log.follow("RUNNER", 0) as batches:
        async for batch in batches:
            records = [r for r in batch if process in r.commit.aggregate_id]
            found += [event.decode() for r in records for event in r.commit.events]
            if batch[-1].seq >= last:
                return found
    raise AssertionError("the log ended")


async def test_tasks_wait_for_a_worker_with_their_engine_and_hold_up_no_other(
    runner: Running,
) -> None:
    runner.start_worker(slots=1)
    waiting = await runner.submit(script_input("ok"), engine="rare", n_tasks=5)
    await runner.until(waiting, "QUEUED", n=5)
    job = await runner.submit(script_input("ok"), n_tasks=3)
    await runner.until(job, "SUCCEEDED", n=3)
    assert {row.state for row in await runner.rows(waiting)} == {"QUEUED"}
    runner.start_worker(slots=2, engines=("rare", "script"))
    await runner.until(waiting, "SUCCEEDED", n=5)


async def test_a_worker_with_several_engines_runs_them_all(runner: Running) -> None:
    runner.start_worker(slots=1, engines=("a", "b", "c"))
    jobs = [await runner.submit(script_input("ok"), engine=engine, n_tasks=4) for engine in "abc"]
    for job in jobs:
        await runner.until(job, "SUCCEEDED", n=4)
        story = [type(e).__name__ for n in range(4) for e in await runner.story(job, n)]
        assert story.count("TaskLeased") == 4


@pytest.mark.parametrize("lease_seconds", [SHORT_LEASE])
async def test_a_silent_worker_is_counted_on_no_more_until_it_speaks(runner: Running) -> None:
    worker = runner.start_worker(slots=1)

    async def told(number: int) -> bool:
        return len(await told_of(runner, worker)) == number

    await eventually(lambda: told(1))
    worker.process.send_signal(signal.SIGSTOP)
    await eventually(lambda: told(2))
    worker.process.send_signal(signal.SIGCONT)
    await eventually(lambda: told(3))
    first, gone, again = await told_of(runner, worker)
    assert isinstance(gone, ev.WorkerRetired)
    assert gone.reason == "LOST"
    assert again == first
