"""Work folders: those of dead workers are found, any tree is removed, no start is blocked."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kerma_runner.worker.files import scratch
from kerma_sandbox.files import removal


def worker_folder(root: Path, name: str, held: str = "worker") -> Path:
    home = root / name
    home.mkdir(parents=True)
    (home / ".lock").write_text(held)
    return home


def test_only_workers_of_this_host_are_called_dead() -> None:
    assert scratch.of_this_host(scratch.worker_id())
    assert not scratch.of_this_host(f"elsewhere-{scratch.worker_id()}")
    assert not scratch.of_this_host("elsewhere-12-0123abcd")
    assert not scratch.of_this_host("lost+found")


def test_a_worker_is_dead_when_nobody_holds_its_lock(tmp_path: Path) -> None:
    gone = scratch.worker_id()
    with scratch.worker_scratch(tmp_path, scratch.worker_id()) as alive:
        left = worker_folder(tmp_path, gone) / "0-abc"
        left.mkdir()
        worker_folder(tmp_path, scratch.worker_id(), held="")  # about to take its lock
        (tmp_path / "lost+found").mkdir()
        with scratch.worker_scratch(tmp_path, scratch.worker_id()) as found:
            assert found.dead() == (gone,)
            assert not left.exists()
            assert alive.home.exists()


def test_the_proof_of_a_death_stays_until_the_runner_has_heard_of_it(tmp_path: Path) -> None:
    gone = scratch.worker_id()
    worker_folder(tmp_path, gone)
    for _ in range(2):
        with scratch.worker_scratch(tmp_path, scratch.worker_id()) as found:
            found.retired = True
            assert found.dead() == (gone,)
    with scratch.worker_scratch(tmp_path, scratch.worker_id()) as found:
        found.retired = True
        found.forget(gone)
        assert found.dead() == ()
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_ends_unheard_is_found_dead(tmp_path: Path) -> None:
    name = scratch.worker_id()
    with scratch.worker_scratch(tmp_path, name) as ended:
        (ended.new_folder() / "dose.result").touch()
    assert [path.name for path in (tmp_path / name).iterdir()] == [".lock"]
    with scratch.worker_scratch(tmp_path, scratch.worker_id()) as found:
        assert found.dead() == (name,)


def test_folders_of_workers_elsewhere_are_removed_and_not_called_dead(tmp_path: Path) -> None:
    other = worker_folder(tmp_path, "elsewhere-12-0123abcd")
    with scratch.worker_scratch(tmp_path, scratch.worker_id()) as found:
        assert found.dead() == ()
        assert not other.exists()


def deep(tree: Path) -> None:
    """Deeper than paths can name and than Python recurses."""
    handle = os.open(tree, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("folder", dir_fd=handle)
        inner = os.open("folder", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inner
    os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=handle))
    os.close(handle)


def wide(tree: Path) -> None:
    for number in range(200):
        (tree / f"{number}").mkdir()
        (tree / f"{number}.txt").touch()


def strange(tree: Path) -> None:
    for name in (b"\xff\xfe", b"new\nline", b"-rf", b"\x1b[2J", b"x" * 255):
        folder = tree / os.fsdecode(name)
        folder.mkdir()
        (folder / folder.name).touch()
    os.mkfifo(tree / "fifo")
    (tree / "loop").symlink_to(".")
    (tree / "dangling").symlink_to("nowhere")


def unwritable(tree: Path) -> None:
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "b" / "file").touch(mode=0)
    for folder in (tree / "a" / "b", tree / "a", tree):
        folder.chmod(0)


@pytest.mark.parametrize("shape", [deep, wide, strange, unwritable])
def test_any_tree_is_removed(tmp_path: Path, shape: Callable[[Path], None]) -> None:
    tree, trash = tmp_path / "0-work", tmp_path / ".trash"
    tree.mkdir()
    shape(tree)
    removal.move_aside(tree, trash)
    assert not tree.exists()
    left = removal.empty(trash)
    assert (left.count, left.first) == (0, [])
    assert list(trash.iterdir()) == []


_AS_NOBODY = """
import os, sys
from pathlib import Path
from kerma_sandbox.files import removal
os.setgroups([]), os.setgid(65534), os.setuid(65534)
root = Path(sys.argv[1])
(root / "tree" / "a" / "b").mkdir(parents=True)
(root / "tree" / "a" / "b" / "file").touch(mode=0)
for folder in ("tree/a/b", "tree/a", "tree"):
    (root / folder).chmod(0)
removal.move_aside(root / "tree", root / ".trash")
print(removal.empty(root / ".trash").count, os.listdir(root / ".trash"))
"""

_WITH_A_MOUNT = """
import os, subprocess, sys
from pathlib import Path
from kerma_sandbox.files import removal
root = Path(sys.argv[1])
(root / "tree" / "a" / "mounted").mkdir(parents=True)
(root / "tree" / "a" / "file").touch()
(root / "tree" / "b").mkdir()
subprocess.run(["mount", "-t", "tmpfs", "none", root / "tree" / "a" / "mounted"], check=True)
(root / "tree" / "a" / "mounted" / "kept").touch()
removal.move_aside(root / "tree", root / ".trash")
left = removal.empty(root / ".trash")
kept = [path.name for path in (root / ".trash").rglob("*") if path.is_file()]
print(left.count > 0, "mounted" in left.first[0], kept)
"""


def output(*command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.skipif(os.getuid() != 0, reason="without root, the test of any tree says the same")
def test_folders_without_permissions_are_removed_by_one_who_needs_them(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    for folder in tmp_path.parents[:3]:
        folder.chmod(folder.stat().st_mode | 0o11)
    assert output(sys.executable, "-c", _AS_NOBODY, str(tmp_path)) == "0 []"


def test_what_is_mounted_stays_and_is_told(tmp_path: Path) -> None:
    namespace = ("unshare", "--user", "--map-root-user", "--mount")
    found = output(*namespace, sys.executable, "-c", _WITH_A_MOUNT, str(tmp_path))
    assert found == "True True ['kept']"


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "kept").mkdir(parents=True)
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "link").symlink_to(outside)
    removal.move_aside(tree, tmp_path / ".trash")
    assert removal.empty(tmp_path / ".trash").count == 0
    assert (outside / "kept").exists()


def test_a_link_in_place_of_a_work_folder_is_removed_alone(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir(mode=0o500)
    (tmp_path / "0-work").symlink_to(tmp_path / "outside")
    removal.move_aside(tmp_path / "0-work", tmp_path / ".trash")
    assert removal.empty(tmp_path / ".trash").count == 0
    assert (tmp_path / "outside").stat().st_mode & 0o777 == 0o500


def test_a_full_disk_is_told_with_its_setting(tmp_path: Path) -> None:
    with scratch.worker_scratch(tmp_path, scratch.worker_id()) as mine:
        assert mine.lacks(0) is None
        assert "KERMA_WORKER_RESERVE" in (mine.lacks(1 << 62) or "")
        mine.home.rename(tmp_path / "away")
        assert "cannot be written" in (mine.lacks(0) or "")


def test_a_folder_is_emptied_whatever_it_holds(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    with scratch.worker_scratch(tmp_path / "scratch", "worker") as mine:
        folder = mine.new_folder()
        (folder / "dose.result").touch()
        (folder / "nested" / "deeper").mkdir(parents=True)
        (folder / "nested").chmod(0)
        (folder / "link").symlink_to(outside)
        os.mkfifo(folder / "fifo")
        assert mine.emptied(folder)
        assert not [*folder.iterdir()]
    assert (outside / "kept").exists()


def test_a_folder_that_is_gone_is_not_emptied(tmp_path: Path) -> None:
    with scratch.worker_scratch(tmp_path, "worker") as mine:
        assert not mine.emptied(mine.home / "gone")
