"""A hostile program in place of a transport code, run by a worker with the default sandbox."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any
from urllib.parse import urlsplit

import pytest
from prometheus_client import REGISTRY

from kerma_common.contracts.events import runner as ev
from kit.programs.script_engine import hostile_input, script_input
from kit.running.worlds.runner_service import Running, eventually


async def does(runner: Running, mode: str, *arguments: object) -> str:
    """Run the program and return what it printed. Its task fails, since it leaves no results."""
    job = await runner.submit(hostile_input(mode, *arguments), max_attempts=1)
    await runner.until(job, "FAILED")
    ended = (await runner.story(job))[-1]
    assert isinstance(ended, ev.TaskFailed)
    assert ended.code == "BAD_OUTPUT", ended
    assert ended.log_ref is not None
    return (await runner.log_texts(ended.log_ref))["stdout.log"]


async def test_it_reaches_neither_secrets_nor_the_bus_nor_its_worker(runner: Running) -> None:
    worker = runner.start_worker(slots=1, sandbox="require")
    data = runner.folder / "data"
    data.mkdir()
    for name in ("master-key", "nats-url", "pg-url"):
        (data / name).write_text("secret")
        (data / name).chmod(0o600)
    stranger = worker.scratch / "stranger"
    stranger.mkdir(parents=True)
    (stranger / "dose.result").write_text("1 1")
    # the input of this very task is a blob that exists before the program starts
    places = [data, *data.iterdir(), runner.folder / "blobs", stranger, stranger / "dose.result"]
    environments = [f"/proc/{pid}/environ" for pid in (worker.process.pid, os.getpid())]
    assert await does(runner, "read", *places, *environments, "/etc/passwd") == "done\n"
    bus = urlsplit(runner.nats_url).port
    database = runner.infra.db.url.port or 0
    assert await does(runner, "connect", f"tcp:{bus}", f"tcp:{database}") == "done\n"
    assert await does(runner, "send_signals", worker.process.pid) == "done\n"
    assert worker.process.poll() is None
    names = (await does(runner, "environment")).splitlines()[0]
    assert "KERMA" not in names
    assert "NATS" not in names


async def test_what_confines_engines_is_a_metric(runner: Running) -> None:
    runner.start_worker(slots=1, sandbox="off")

    async def counted() -> bool:
        return REGISTRY.get_sample_value("runner_workers", {"sandbox": "none"}) == 1.0

    await eventually(counted)


async def test_a_worker_that_needs_a_sandbox_does_not_start_without(runner: Running) -> None:
    """There is no sandbox without bubblewrap, Landlock or another user."""
    code = (
        "import sys\n"
        "from kerma_sandbox import measure\n"
        "measure._candidates = lambda levels, reasons: iter(())\n"
        "from kerma_runner.worker.__main__ import main\n"
        "main()\n"
    )
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "KERMA_NATS_URL": runner.nats_url,
        "KERMA_BLOB_URL": f"file://{runner.folder}/blobs",
        "KERMA_WORKER_SCRATCH": str(runner.folder / "scratch"),
        "KERMA_WORKER_SANDBOX": "require",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, env=env, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert b"nothing confines engines here" in errors
    assert b"user.max_user_namespaces" in errors


async def test_daemons_hold_neither_the_task_nor_the_slot(runner: Running) -> None:
    worker = runner.start_worker(slots=1, sandbox="require")
    assert await does(runner, "daemonise", 3) == "left\ndone\n"
    job = await runner.submit(script_input("ok"))
    await runner.until(job, "SUCCEEDED")
    assert worker.engines() == []


@pytest.mark.parametrize(
    ("mode", "argument", "limit", "code"),
    [
        ("eat", 4096, {"task_memory": 128 << 20}, "MEMORY_LIMIT"),
        ("eat", 4096, {"task_address_space": 512 << 20}, "ADDRESS_SPACE_LIMIT"),
        ("spin", 2, {"task_cpu_seconds": 0.5}, "CPU_LIMIT"),
        ("bomb", "", {"task_processes": 16}, "PROCESS_LIMIT"),
        ("fill", 16, {"task_file_size": 1 << 20}, "FILE_LIMIT"),
    ],
)
async def test_a_limit_that_is_exceeded_fails_the_task_with_its_name(
    runner: Running, mode: str, argument: object, limit: dict[str, Any], code: str
) -> None:
    worker = runner.start_worker(slots=1, sandbox="prefer", **limit)
    arguments = [argument] if argument else []
    job = await runner.submit(hostile_input(mode, *arguments), max_attempts=1)
    await runner.until(job, "FAILED")
    ended = (await runner.story(job))[-1]
    assert isinstance(ended, ev.TaskFailed)
    assert ended.code == code
    ((name, value),) = limit.items()
    assert f"{value:g}" in ended.message or str(value) in ended.message
    assert f"KERMA_WORKER_{name.upper()}" in ended.message
    assert worker.engines() == []


async def test_an_engine_beside_a_hostile_one_runs_on(runner: Running) -> None:
    runner.start_worker(slots=2, sandbox="prefer", task_processes=16)
    bomb = await runner.submit(hostile_input("bomb"), max_attempts=1)
    jobs = [await runner.submit(script_input("ok")) for _ in range(4)]
    await asyncio.gather(*(runner.until(job, "SUCCEEDED") for job in jobs))
    await runner.until(bomb, "FAILED")
