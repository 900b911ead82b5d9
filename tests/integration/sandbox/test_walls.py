"""A hostile program at every level that this machine can enforce."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from kerma_sandbox.confinement import Confinement, Limits
from kerma_sandbox.launcher import launcher
from kerma_sandbox.measure import Mode, SandboxUnavailable, measure
from kerma_sandbox.sandbox import PROMISED, Level, Sandbox, Wall
from kit.programs.cells import Cell, working_below

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


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
    secrets = ("master-key", "update-keys-secret", "nats-url", "pg-url", "local-password")
    for name in (*secrets, "local-account"):
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
    text, _ = cell.does("write", cell.program, cell.folder / "new", "/usr/new", "/new")
    assert text == "done\n"
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
        assert cell.does("send_signals", stranger.pid)[0].endswith("done\n")
        with pytest.raises(subprocess.TimeoutExpired):
            stranger.wait(0.5)
        stranger.kill()


@pytest.fixture
def shared_objects() -> Iterator[tuple[int, int]]:
    """A segment of shared memory and a set of semaphores of this process's user (System V)."""
    library, private, fresh, remove = ctypes.CDLL(None, use_errno=True), 0, 0o1600, 0
    memory, semaphores = library.shmget(private, 4096, fresh), library.semget(private, 1, fresh)
    assert min(memory, semaphores) >= 0, os.strerror(ctypes.get_errno())
    yield memory, semaphores
    library.shmctl(memory, remove, None)
    library.semctl(semaphores, 0, remove)


@pytest.mark.parametrize("same_user", [False, True])
def test_it_changes_no_process_but_itself(
    cell: Cell, shared_objects: tuple[int, int], same_user: bool
) -> None:
    """The kernel lets processes of one user limit each other, and share objects of System V."""
    if same_user:
        if cell.sandbox.level is not Level.LANDLOCK:
            pytest.skip("other levels give it another user, or show it no other process")
        cell = replace(cell, sandbox=replace(cell.sandbox, uid=None, reach=False))
    command = [sys.executable, "-c", "import signal; print(flush=True); signal.pause()"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as stranger:
        assert stranger.stdout is not None
        stranger.stdout.readline()
        text, ended = cell.does("control", stranger.pid, *shared_objects)
        stranger.kill()
    assert (text, ended.code) == ("done\n", 0)


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


@pytest.mark.parametrize("number", [signal.SIGSEGV, 40])
def test_the_signal_that_ended_it_is_told(cell: Cell, number: int) -> None:
    """Signals for real time have no names."""
    assert cell.does("die", int(number))[1].code == -number


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


def test_landlock_alone_keeps_nobody_from_the_network(
    public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no rule for UDP; the filter, which other processors lack, forbids all sockets."""
    monkeypatch.setattr("kerma_sandbox.kernel.seccomp.program", lambda **_: b"")
    found = measure(public, levels=(Level.NAMESPACES, Level.LANDLOCK))
    if found.level is Level.NAMESPACES:
        assert Wall.NETWORK in found.standing
        found = measure(public, levels=(Level.LANDLOCK,))
    assert found.level is Level.NONE
    assert "network" in found.reasons[Level.LANDLOCK]
