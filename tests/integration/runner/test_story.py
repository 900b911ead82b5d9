"""A job's tasks from the queue to their ends, on real servers with a real worker."""

from __future__ import annotations

from kerma_common.contracts import ids
from kerma_common.contracts.events import runner as ev
from kerma_runner.domain.task import Phase
from kit.programs.script_engine import script_input
from kit.running.worlds.runner_service import Running


async def test_a_started_job_becomes_tasks_that_succeed(runner: Running) -> None:
    runner.start_worker(slots=2)
    job = await runner.submit(script_input("ok"), n_tasks=3, primaries=1000)
    await runner.until(job, "SUCCEEDED", n=3)
    tasks = [await runner.task(job, index) for index in range(3)]
    assert [t.spec.primaries for t in tasks if t.spec] == [334, 333, 333]
    names = [type(e).__name__ for e in await runner.story(job)]
    assert names == ["TaskLeased", "TaskStarted", "TaskSucceeded"]
    ended = (await runner.story(job, 1))[-1]
    assert isinstance(ended, ev.TaskSucceeded)
    assert ended.primaries == 333
    assert ended.log_ref is not None
    texts = await runner.log_texts(ended.log_ref)
    assert texts.pop("run.log").startswith("engine script 1 on worker ")
    assert texts == {"stdout.log": "done 166\n", "engine.log": "mode ok\n"}
    output = await runner.blobs.get(ended.output_ref)
    assert f"333 {ids.task_seed(job, 1, ids.SEED_RULE)}".encode() in output
    assert all(t.phase is Phase.SUCCEEDED for t in tasks)
