"""Processes of a launcher: streams, limits, exits, and no process left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from kerma_sandbox.confinement import Confinement, Limits
from kerma_sandbox.launcher import Confined, GuardLost, Launcher
from kerma_sandbox.launcher import launcher as confined_launcher
from kerma_sandbox.measure import measure
from kerma_sandbox.sandbox import Sandbox
from kit.programs.family import runs
from kit.programs.script_engine import PROGRAM

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux process control")


CONFINED = [False, True]


@asynccontextmanager
async def launcher(sandbox: Sandbox | None = None) -> AsyncIterator[Launcher]:
    """A launcher without confinement unless ``sandbox`` is given: these tests hold at every level."""
    async with confined_launcher(sandbox or Sandbox()) as made:
        yield made


@pytest.fixture(scope="module")
def strongest(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    return measure(tmp_path_factory.mktemp("measured"))


async def start(
    made: Launcher, directory: Path, mode: str, argument: str = "", limits: Limits | None = None
) -> Confined:
    argv = (sys.executable, "-S", "-E", str(PROGRAM), mode, "10", "7", argument)
    env = {"PATH": os.environ["PATH"]}
    confinement = Confinement(directory, (PROGRAM,), limits=limits or Limits())
    return await made.spawn(argv, env=env, confinement=confinement)


def working_in(directory: Path) -> list[int]:
    """Return processes whose work folder is ``directory``: all of an engine's, hidden or not."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(directory) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


async def until_gone(directory: Path) -> None:
    async with asyncio.timeout(60):
        while working_in(directory):
            await asyncio.sleep(0.02)


async def test_an_engine_runs_in_its_own_session_and_tells_its_output(tmp_path: Path) -> None:
    async with launcher() as made:
        process = await start(made, tmp_path, "slow", str(tmp_path / "go"))
        assert await process.stdout.readline() == b"done 5\n"
        assert os.getsid(process.pid) == process.pid
        (tmp_path / "go").touch()
        ended = await process.wait()
    assert ended.code == 0
    assert ended.cpu_seconds > 0
    assert (tmp_path / "dose.result").read_text() == "10 7\n"


@pytest.mark.parametrize("confined", CONFINED)
async def test_a_process_and_its_session_have_the_priority_asked_for(
    tmp_path: Path, strongest: Sandbox, confined: bool
) -> None:
    code = "import os; print(os.nice(0), flush=True); input()"
    argv = (sys.executable, "-I", "-c", code)
    async with launcher(strongest if confined else None) as made:
        process = await made.spawn(argv, env={}, confinement=Confinement(tmp_path, nice=7))
        # a keeper with real-time priority forks at niceness 0, whatever the tests run at
        assert int(await process.stdout.readline()) >= 7
        session = Path(f"/proc/{process.pid}/autogroup")
        if session.exists():
            assert session.read_text().endswith(" nice 7\n")


@pytest.mark.parametrize("confined", CONFINED)
async def test_exit_codes_and_signals_are_told(
    tmp_path: Path, strongest: Sandbox, confined: bool
) -> None:
    async with launcher(strongest if confined else None) as made:
        crashed = await start(made, tmp_path, "crash")
        killed = await start(made, tmp_path, "signal")
        assert (await crashed.wait()).code == 3
        assert (await killed.wait()).code == -signal.SIGSEGV
        assert b"no geometry" in await crashed.stderr.read()


@pytest.mark.parametrize("confined", CONFINED)
async def test_a_program_that_is_not_there_is_refused_with_a_reason(
    tmp_path: Path, strongest: Sandbox, confined: bool
) -> None:
    async with launcher(strongest if confined else None) as made:
        with pytest.raises(OSError, match="No such file"):
            await made.spawn(("/no/such",), env={}, confinement=Confinement(tmp_path))
        # the next one is not affected
        assert (await (await start(made, tmp_path, "ok")).wait()).code == 0


@pytest.mark.parametrize("confined", CONFINED)
async def test_a_conversation_over_standard_input(
    tmp_path: Path, strongest: Sandbox, confined: bool
) -> None:
    code = "import sys; [print(line.upper(), end='', flush=True) for line in sys.stdin]"
    argv = (sys.executable, "-I", "-c", code)
    async with launcher(strongest if confined else None) as made:
        process = await made.spawn(argv, env={}, confinement=Confinement(tmp_path), stdin=True)
        assert process.stdin is not None
        for word in (b"dose\n", b"fluence\n"):
            process.stdin.write(word)
            assert await process.stdout.readline() == word.upper()
        process.stdin.close()
        assert (await process.wait()).code == 0


async def test_limits_hold(tmp_path: Path) -> None:
    limits = Limits(address_space=1 << 31, file_size=4096, open_files=64)
    async with launcher() as made:
        process = await start(made, tmp_path, "hang", limits=limits)
        await process.stdout.readline()
        engine = psutil.Process(process.pid)
        assert engine.rlimit(psutil.RLIMIT_AS) == (1 << 31, 1 << 31)
        assert engine.rlimit(psutil.RLIMIT_FSIZE) == (4096, 4096)
        assert engine.rlimit(psutil.RLIMIT_NOFILE) == (64, 64)
        assert engine.rlimit(psutil.RLIMIT_CORE) == (0, 0)
        await process.stop(5)


async def test_descriptors_of_other_engines_do_not_leak(tmp_path: Path) -> None:
    async with launcher() as made:
        first = await start(made, tmp_path, "hang")
        second = await start(made, tmp_path, "hang")
        await second.stdout.readline()
        assert {fd.name for fd in Path(f"/proc/{second.pid}/fd").iterdir()} == {"0", "1", "2"}
        await asyncio.gather(first.stop(5), second.stop(5))


@pytest.mark.parametrize("confined", CONFINED)
async def test_a_stop_is_gentle_first(tmp_path: Path, strongest: Sandbox, confined: bool) -> None:
    async with launcher(strongest if confined else None) as made:
        process = await start(made, tmp_path, "hang")
        await process.stdout.readline()
        assert (await process.stop(30)).code == -signal.SIGTERM


async def test_an_engine_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    async with launcher() as made:
        process = await start(made, tmp_path, "stubborn")
        await process.stdout.readline()
        await process.stdout.readline()
        assert (await process.stop(0.1)).code == -signal.SIGKILL


@pytest.mark.parametrize("confined", CONFINED)
@pytest.mark.parametrize("end", ["finish", "stop"])
async def test_an_engine_is_gone_only_with_all_its_children(
    tmp_path: Path, strongest: Sandbox, confined: bool, end: str
) -> None:
    async with launcher(strongest if confined else None) as made:
        process = await start(made, tmp_path, "family", end)
        await process.stdout.readline()
        await (process.wait() if end == "finish" else process.stop(5))
        assert working_in(tmp_path) == []
        await process.stdout.read()


async def test_closing_the_launcher_kills_every_engine(tmp_path: Path) -> None:
    async with launcher() as made:
        for mode in ("family", "stubborn"):
            process = await start(made, tmp_path, mode)
            await process.stdout.readline()
    assert working_in(tmp_path) == []


async def test_a_closed_launcher_leaves_no_keeper(tmp_path: Path) -> None:
    for _ in range(5):
        async with launcher() as made:
            started = [await start(made, tmp_path, "stubborn") for _ in range(4)]
            keepers = [psutil.Process(process.pid).parent() for process in started]
        assert not any(keeper is not None and runs(keeper) for keeper in keepers)


async def test_engines_do_not_outlive_a_killed_guard(tmp_path: Path) -> None:
    async with launcher() as made:
        process = await start(made, tmp_path, "stubborn")
        await process.stdout.readline()
        keeper = psutil.Process(process.pid).parent()
        assert keeper is not None
        guard = keeper.parent()
        assert guard is not None
        guard.kill()
        with pytest.raises(GuardLost):
            await process.wait()
        with pytest.raises(GuardLost):
            await start(made, tmp_path, "ok")
    await until_gone(tmp_path)


@pytest.mark.parametrize("confined", CONFINED)
async def test_an_engine_does_not_outlive_its_killed_keeper(
    tmp_path: Path, strongest: Sandbox, confined: bool
) -> None:
    async with launcher(strongest if confined else None) as made:
        process = await start(made, tmp_path, "family")
        await process.stdout.readline()
        keeper = psutil.Process(process.pid).parent()
        assert keeper is not None
        keeper.kill()
        assert (await process.wait()).code == -signal.SIGKILL
        await until_gone(tmp_path)
        assert (await (await start(made, tmp_path, "ok")).wait()).code == 0


async def test_engines_do_not_outlive_a_killed_worker(tmp_path: Path) -> None:
    code = (
        "import asyncio, pathlib, test_launcher as t\n"
        "async def main():\n"
        f"    here = pathlib.Path({str(tmp_path)!r})\n"
        "    async with t.launcher() as made:\n"
        "        process = await t.start(made, here, 'family')\n"
        "        await process.stdout.readline()\n"
        "        print('up', flush=True)\n"
        "        await process.wait()\n"
        "asyncio.run(main())\n"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    worker = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE
    )
    with worker:
        assert worker.stdout is not None
        assert await asyncio.to_thread(worker.stdout.readline) == b"up\n"
        assert working_in(tmp_path)
        worker.kill()
    await until_gone(tmp_path)
