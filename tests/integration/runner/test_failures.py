"""Engines that fail in every way: each ends its task with a reason and readable logs."""

from __future__ import annotations

from typing import Any

import pytest

from kerma_common.contracts import ids
from kerma_common.contracts.events import runner as ev
from kit.programs.script_engine import script_input
from kit.running.worlds.runner_service import Running

RELAXED: dict[str, float] = {}
STALL = {"stall_seconds": 0.6}
WALL = {"wall_seconds": 0.6, "grace_seconds": 0.2}


@pytest.mark.parametrize(
    ("mode", "worker", "code", "told"),
    [
        ("fifo", RELAXED, "BAD_OUTPUT", ["dose.result", "is a FIFO"]),
        ("linked", RELAXED, "BAD_OUTPUT", ["dose.result", "is a link"]),
        ("deep", RELAXED, "FOLDER_LIMIT", ["32 levels"]),
        ("crash", RELAXED, "EXIT_CODE", ["exit code 3", "the deck has no geometry"]),
        ("signal", RELAXED, "SIGNAL", ["SIGSEGV"]),
        ("garbage", RELAXED, "BAD_OUTPUT", ["dose.result"]),
        ("empty", RELAXED, "BAD_OUTPUT", ["dose.result"]),
        ("short", RELAXED, "BAD_OUTPUT", ["incomplete", "dose"]),
        ("hang", STALL, "STALLED", ["0.6 s"]),
        ("spin", {**STALL, **WALL}, "WALL_TIME", ["0.6 s"]),
        ("stubborn", WALL, "WALL_TIME", ["0.6 s"]),
    ],
)
async def test_a_failing_engine_fails_its_task_with_its_log(
    runner: Running, mode: str, worker: dict[str, Any], code: str, told: list[str]
) -> None:
    started = runner.start_worker(slots=1, **worker)
    job = await runner.submit(script_input(mode), max_attempts=1)
    await runner.until(job, "FAILED")
    ended = (await runner.story(job))[-1]
    assert isinstance(ended, ev.TaskFailed)
    assert (ended.code, ended.final) == (code, True)
    for words in told:
        assert words in ended.message
    assert ended.log_ref is not None
    texts = await runner.log_texts(ended.log_ref)
    assert texts["engine.log"] == f"mode {mode}\n"
    assert texts["stdout.log"].startswith("done 500\n")
    assert started.engines() == []


@pytest.mark.parametrize(
    "body", [script_input("refused"), b"no input set"], ids=["refused", "unreadable"]
)
async def test_what_cannot_run_is_not_tried_again(runner: Running, body: bytes) -> None:
    runner.start_worker(slots=1)
    job = await runner.submit(body, max_attempts=3)
    await runner.until(job, "FAILED")
    story = await runner.story(job)
    assert [type(e).__name__ for e in story] == ["TaskLeased", "TaskFailed"]
    assert story[-1].code == "BAD_INPUT"


async def test_a_failed_attempt_is_followed_by_another_with_the_same_seed(runner: Running) -> None:
    runner.start_worker(slots=1)
    job = await runner.submit(script_input("once", runner.folder / "failed-once"))
    await runner.until(job, "SUCCEEDED")
    story = await runner.story(job)
    assert [(e.attempt, e.final) for e in story if isinstance(e, ev.TaskFailed)] == [(1, False)]
    assert [e.attempt for e in story if isinstance(e, ev.TaskRequeued)] == [2]
    assert isinstance(story[-1], ev.TaskSucceeded)
    assert (story[-1].attempt, story[-1].lease) == (2, 2)
    output = await runner.blobs.get(story[-1].output_ref)
    assert f"1000 {ids.task_seed(job, 0, ids.SEED_RULE)}".encode() in output


@pytest.mark.parametrize(
    ("mode", "told"), [("unready", "KeyError: 'beam.dat'"), ("faulty", "nobody foresaw this")]
)
async def test_a_fault_ends_one_attempt_and_no_other(runner: Running, mode: str, told: str) -> None:
    started = runner.start_worker(slots=2)
    go = runner.folder / "go"
    beside = await runner.submit(script_input("slow", go))
    await runner.until(beside, "RUNNING")
    job = await runner.submit(script_input(mode), max_attempts=1)
    await runner.until(job, "FAILED")
    ended = (await runner.story(job))[-1]
    assert isinstance(ended, ev.TaskFailed)
    assert ended.code == "WORKER_FAULT"
    assert told in ended.message
    assert ended.log_ref is not None
    go.touch()
    await runner.until(beside, "SUCCEEDED")
    assert [e.lease for e in await runner.story(beside) if isinstance(e, ev.TaskLeased)] == [1]
    assert started.process.poll() is None


@pytest.mark.parametrize(
    ("mode", "amount", "limits", "code", "setting"),
    [
        ("filling", 12, {"task_bytes": 8 << 20}, "FOLDER_LIMIT", "KERMA_WORKER_TASK_BYTES"),
        ("littering", 50, {"task_files": 40}, "FOLDER_LIMIT", "KERMA_WORKER_TASK_FILES"),
        ("large", 3, {"output_bytes": 2 << 20}, "OUTPUT_LIMIT", "KERMA_WORKER_OUTPUT_BYTES"),
    ],
)
async def test_what_a_task_writes_is_bounded_and_not_tried_again(
    runner: Running, mode: str, amount: int, limits: dict[str, Any], code: str, setting: str
) -> None:
    started = runner.start_worker(slots=1, **limits)
    job = await runner.submit(script_input(mode, amount), max_attempts=3)
    await runner.until(job, "FAILED")
    (ended,) = [e for e in await runner.story(job) if isinstance(e, ev.TaskFailed)]
    assert (ended.code, ended.final) == (code, True)
    assert setting in ended.message
    assert started.engines() == []
    after = await runner.submit(script_input("ok"))
    await runner.until(after, "SUCCEEDED")


async def test_a_process_that_keeps_the_output_open_does_not_hold_the_slot(
    runner: Running,
) -> None:
    runner.start_worker(slots=1)
    job = await runner.submit(script_input("holding"), n_tasks=2)
    await runner.until(job, "SUCCEEDED", n=2)


async def test_a_worker_holds_no_outputs_in_memory(runner: Running) -> None:
    worker = runner.start_worker(slots=1)
    size = 200
    small = await runner.submit(script_input("large", 1))
    await runner.until(small, "SUCCEEDED")
    before = worker.peak_memory()
    large = await runner.submit(script_input("large", size))
    await runner.until(large, "SUCCEEDED")
    assert (await runner.story(large))[-1].output_ref.size > size << 20
    assert worker.peak_memory() - before < 64 << 20


async def test_long_logs_keep_their_beginning_and_their_end(runner: Running) -> None:
    runner.start_worker(slots=1)
    job = await runner.submit(script_input("chatty", 3 << 20))
    await runner.until(job, "SUCCEEDED")
    text = (await runner.log_texts((await runner.story(job))[-1].log_ref))["stdout.log"]
    assert text.startswith("done 500\n")
    assert text.endswith("the end\n")
    assert "bytes left out" in text
    assert len(text) < (1 << 20) + 100


async def test_engines_see_what_they_need_and_no_secret_of_their_worker(
    runner: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FLUPRO", "TOPAS_G4_DATA_DIR", "SOME_TOKEN"):
        monkeypatch.setenv(name, "/somewhere")
    runner.start_worker(slots=1)
    job = await runner.submit(script_input("environment"))
    await runner.until(job, "SUCCEEDED")
    text = (await runner.log_texts((await runner.story(job))[-1].log_ref))["stdout.log"]
    for name in ("PATH", "FLUPRO", "TOPAS_G4_DATA_DIR"):
        assert f"'{name}'" in text
    assert "SOME_TOKEN" not in text
    assert "KERMA_NATS" not in text
    assert "KERMA_BLOB" not in text
