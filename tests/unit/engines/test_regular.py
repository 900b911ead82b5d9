"""Readers open regular files only, and never block on others."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kerma_engines.catalogue.reading import read_file
from kerma_engines.catalogue.task_files import alike
from kerma_engines.errors import ReadError
from kerma_engines.fluka.read.read import read_fluka_file
from kerma_engines.geant4.read.alone import read_dump_file
from kerma_engines.geant4.read.scored import read_scored
from kerma_engines.regular import NotRegularError, WorkFolder, open_regular, read_regular
from kerma_engines.results.estimators import Estimator
from kerma_engines.shieldhit.read.read import read_bdo_file
from kerma_engines.topas.read.read import read_topas_file

READERS: tuple[Callable[[Path], object], ...] = (
    read_file,
    read_bdo_file,
    read_fluka_file,
    read_topas_file,
    read_dump_file,
    read_scored,
)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ["FIFO", "device", "folder"])
def test_no_reader_waits_for_what_is_no_file(
    tmp_path: Path, reader: Callable[[Path], Estimator], kind: str
) -> None:
    path = tmp_path / "dose.csv"
    match kind:
        case "FIFO":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case _:
            path.mkdir()
    with pytest.raises(ReadError, match=f"a {kind}, not a regular file"):
        reader(path)


def test_files_beside_a_result_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "run.mac")
    assert read_regular(tmp_path / "run.mac", 10) is None
    assert alike([tmp_path / "run.mac", tmp_path / "run.mac"]) == []


def test_users_may_have_their_files_behind_links(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("dose")
    (tmp_path / "link").symlink_to("data")
    assert read_regular(tmp_path / "link", 4) == "dose"
    assert read_regular(tmp_path / "link", 3) is None
    with open_regular(tmp_path / "link") as file:
        assert file.read() == b"dose"


def test_patterns_match_by_level_and_follow_no_link(tmp_path: Path) -> None:
    (tmp_path / "fluka_1").mkdir()
    (tmp_path / "fluka_1" / "a.out").touch()
    (tmp_path / "fluka_1" / "deeper").mkdir()
    (tmp_path / "fluka_1" / "deeper" / "b.out").touch()
    (tmp_path / "fluka_2").symlink_to("/etc")
    (tmp_path / "c.out").touch()
    folder = WorkFolder(tmp_path)
    assert folder.matching(("*.out",)) == ("c.out",)
    assert folder.matching(("fluka_*/*",)) == ("fluka_1/a.out",)
    (tmp_path / "c.out").unlink()
    (tmp_path / "c.out").symlink_to("/etc/passwd")
    with pytest.raises(NotRegularError, match="a link"):
        folder.open("c.out")
    with pytest.raises(OSError, match="Not a directory"):
        folder.open("fluka_2/passwd")


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").touch()
    folder = WorkFolder(tmp_path)
    before = sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208 - as many as there are
    for _ in range(3):
        assert folder.matching(("*", "a/*/*")) == ("a/b/file", "fifo")
        folder.open("a/b/file").close()
        with pytest.raises(NotRegularError):
            folder.open("fifo")
        with pytest.raises(OSError, match="No such file"):
            folder.open("a/x/file")
    assert sorted(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
