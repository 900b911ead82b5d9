"""Parsers and readers of engines that hostile files have taken over."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from kerma_engines.adapter.packing import encode_inputs
from kerma_engines.adapter.port import InputSet
from kerma_engines.results.parallel import THREAD
from kerma_runner.worker.confined import client
from kerma_runner.worker.confined.client import ConfinedEngines, confined_engines
from kerma_runner.worker.confined.session import Refused, Session
from kerma_runner.worker.files.scratch import Scratch, worker_scratch
from kerma_runner.worker.settings import WorkerSettings
from kerma_sandbox.forks.calls import CallFailed, Exceeded
from kerma_sandbox.kernel import landlock
from kerma_sandbox.measure import measure
from kerma_sandbox.sandbox import Level, Sandbox
from kit.programs.probe_engine import ProbeEngine, probe_input

ENGINE = ProbeEngine()


@pytest.fixture(scope="module", params=[Level.NAMESPACES, Level.LANDLOCK])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """Each level that keeps files apart; without Landlock, forks of one worker share its folder."""
    if landlock.abi() < 6:
        pytest.skip("the kernel's Landlock keeps no signals")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        made = measure(Path(folder), levels=(request.param,))
        if made.level is not request.param:
            pytest.skip(f"the machine allows no {request.param}")
        yield made


@asynccontextmanager
async def calls(
    scratch: Scratch, sandbox: Sandbox | None = None, **settings: float
) -> AsyncIterator[ConfinedEngines]:
    """Provide the engine behind walls."""
    made = WorkerSettings(**{"slots": 1, **settings})  # type: ignore[arg-type]  # one of several
    async with confined_engines({"probe": ENGINE}, made, sandbox or Sandbox(), scratch) as confined:
        yield confined


@asynccontextmanager
async def session(
    confined: ConfinedEngines, inputs: InputSet, job: str = ""
) -> AsyncIterator[Session]:
    """Provide a session whose ``kept`` holds a result."""
    async with confined.session(job or str(inputs)) as made:
        made.engine, made.inputs = ENGINE, encode_inputs(inputs)
        (made.kept / "own").write_text("own")
        yield made


async def read(confined: ConfinedEngines, inputs: InputSet) -> Sequence[tuple[str, int]]:
    async with session(confined, inputs) as made:
        return await made.estimators(made.kept)


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Scratch]:
    with worker_scratch(tmp_path / "scratch", "worker") as made:
        yield made


async def test_a_process_sees_its_session_and_changes_no_result(
    sandbox: Sandbox, scratch: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERMA_NATS_URL", "secret")
    (tmp_path / "secret").write_text("secret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        async with calls(scratch, sandbox) as confined, confined.session("other") as other:
            (other.work / "own").write_text("other")
            inputs = probe_input(
                "look",
                secret=str(tmp_path / "secret"),
                other=str(other.work / "own"),
                pid=os.getpid(),
                port=server.getsockname()[1],
            )
            async with session(confined, inputs) as made:
                found = await made.estimators(made.kept)
                command = await made.prepare(primaries=7, seed=5)
                files = {path.name for path in made.work.iterdir()}
                written = (made.work / "input").read_text()
            assert (other.work / "own").read_text() == "other"
    for seen in (dict(line.split(": ", 1) for line, _ in found), parted(command.argv[1:])):
        assert seen.pop("own", "own") == "own"
        assert seen.pop("environment") == "done ['OPENBLAS_NUM_THREADS']"
        assert seen.pop("write here") == "done 1", "preparing a task writes its files"
        assert all(result.startswith("refused") for result in seen.values()), seen
    assert (files, written) == ({"here", "input"}, "7 5")


def parted(words: tuple[str, ...]) -> dict[str, str]:
    return dict(word.split(": ", 1) for word in words)


async def test_what_is_started_comes_from_the_engine_and_never_from_its_files(
    scratch: Scratch,
) -> None:
    forged = {"arguments": ["x"], "results": ["*"]}
    async with calls(scratch) as confined:
        async with session(confined, probe_input("forge", answer=json.dumps(forged))) as made:
            command = await made.prepare(primaries=7, seed=5)
        more = {**forged, "program": "/evil", "env": {"LD_PRELOAD": "/evil"}, "readable": ["/"]}
        async with session(confined, probe_input("forge", answer=json.dumps(more))) as made:
            with pytest.raises(CallFailed, match="another form"):
                await made.prepare(primaries=7, seed=5)
    assert command.argv == ("/trusted/program", "x")
    assert command.env == {"TRUSTED": "1"}
    assert command.readable == (Path("/trusted"),)


@pytest.mark.parametrize(
    "inputs",
    [
        probe_input("endless"),
        probe_input("long"),
        probe_input("body"),
        probe_input("crash"),
        probe_input("half"),
        probe_input("forge", answer="[" * 100_000),
        probe_input("forge", answer='{"estimators": [["dose", 1.5]]}'),
        probe_input("forge", answer='{"estimators": [["dose", "1"]]}'),
        probe_input("forge", answer='{"estimators": [["do\\u0000se", 1]]}'),
        probe_input("forge", answer='{"estimators": [["do\\ud800se", 1]]}'),
        probe_input("forge", answer='{"estimators": {"dose": 1}}'),
    ],
    ids=str,
)
async def test_an_answer_of_another_form_ends_the_call(scratch: Scratch, inputs: InputSet) -> None:
    async with calls(scratch) as confined:
        with pytest.raises(CallFailed):
            await read(confined, inputs)
        honest = probe_input("forge", answer='{"estimators": [["dose", 1]]}')
        assert await read(confined, honest) == (("dose", 1),)


async def test_large_arrays_are_worked_on_where_no_thread_can_start(scratch: Scratch) -> None:
    async with calls(scratch) as confined:
        assert await read(confined, probe_input("blocks")) == (("sum", 16 * THREAD),)


async def test_an_answer_is_never_unpickled(scratch: Scratch, tmp_path: Path) -> None:
    marker = tmp_path / "unpickled"
    async with calls(scratch) as confined:
        with pytest.raises(CallFailed):
            await read(confined, probe_input("pickle", marker=str(marker)))
    assert not marker.exists()


@pytest.mark.parametrize("mode", ["hang", "spin"])
async def test_a_call_that_takes_too_long_is_ended(scratch: Scratch, mode: str) -> None:
    async with calls(scratch, read_seconds=0.5, prepare_seconds=0.5) as confined:
        async with session(confined, probe_input(mode)) as made:
            with pytest.raises(Exceeded, match=r"longer than 0\.5 s \(KERMA_WORKER_READ_SECONDS\)"):
                await made.estimators(made.kept)
            with pytest.raises(Exceeded, match="KERMA_WORKER_PREPARE_SECONDS"):
                await made.prepare(primaries=1, seed=1)
        await until(lambda: not forks())


async def test_a_call_that_needs_too_much_memory_is_ended(scratch: Scratch) -> None:
    async with calls(scratch, read_memory=1 << 30) as confined:
        for mode in ("bloat", "grow"):
            with pytest.raises(Exceeded, match=r"1073741824 bytes \(KERMA_WORKER_READ_MEMORY\)"):
                await read(confined, probe_input(mode))


async def test_calls_go_on_when_their_nursery_has_died(scratch: Scratch) -> None:
    honest = probe_input("forge", answer='{"estimators": []}')
    async with calls(scratch) as confined:
        await read(confined, honest)
        pending = asyncio.create_task(read(confined, probe_input("hang")))
        found: list[int] = []

        def look() -> bool:
            # forks end meanwhile: their nursery is kept from the same look that found them
            found.extend(filter(None, map(parent, forks())))
            return bool(found)

        await until(look)
        psutil.Process(found[0]).kill()
        with pytest.raises(CallFailed):
            await pending
        assert await read(confined, honest) == ()


async def test_a_task_with_the_same_job_gets_the_process_and_empty_folders(
    scratch: Scratch,
) -> None:
    inputs = probe_input("count")
    async with calls(scratch) as confined:
        for task in (1, 2):
            async with session(confined, inputs) as made:
                (made.work / "folder").mkdir(mode=0)
                await made.prepare(primaries=1, seed=1)
                assert await made.estimators(made.kept) == ((f"call {2 * task}", 1),)
        (kept,) = forks()
        async with session(confined, inputs, "another job") as made:
            assert await made.estimators(made.kept) == (("call 1", 1),)
            assert sorted(path.name for path in made.work.parent.iterdir()) == ["kept", "work"]
        await until(lambda: not kept.is_running())
        assert len(forks()) == 1, "one is kept for each slot"


async def test_a_process_is_not_kept_after_a_failed_call(scratch: Scratch) -> None:
    async with calls(scratch) as confined:
        async with session(confined, probe_input("refuse")) as made:
            with pytest.raises(Refused, match="no"):
                await made.estimators(made.kept)
        await until(lambda: not forks())
    assert not [path for path in scratch.home.iterdir() if path.name != ".lock"]


async def test_the_nursery_ends_when_no_task_needs_it_and_starts_again(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = probe_input("count")
    async with calls(scratch) as confined:
        await confined.ready()
        monkeypatch.setattr(client, "REST_SECONDS", 0.01)
        async with session(confined, inputs) as made:
            assert await made.estimators(made.kept)
            await asyncio.sleep(0.1)  # longer than a rest takes to begin
            assert len(forks()) == 1, "no rest while a task runs"
        own = psutil.Process()
        await until(lambda: not any(map(is_call, own.children(recursive=True))))
        assert not any(scratch.home.glob("session-*")), "sessions leave no folder"
        assert await read(confined, inputs)


def forks() -> list[psutil.Process]:
    """Return the forks that run calls of this process."""
    found = [p for p in psutil.Process().children(recursive=True) if is_call(p)]
    pids = {process.pid for process in found}
    return [process for process in found if parent(process) in pids]


def parent(process: psutil.Process) -> int | None:
    """Return the id of a process's parent, or None if the process is gone."""
    try:
        return process.ppid()
    except psutil.NoSuchProcess:
        return None


def is_call(process: psutil.Process) -> bool:
    try:
        return "kerma_runner.worker.confined.process" in process.cmdline()
    except psutil.Error:
        return False


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.02)
