"""A log is followed whatever an engine does to it."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from kerma_engines.adapter.port import Progress
from kerma_engines.fluka.monitor import FlukaMonitor
from kerma_engines.regular import WorkFolder
from kerma_engines.shieldhit.monitor import ShieldHitMonitor
from kerma_engines.topas.monitor import TopasMonitor
from kerma_runner.worker import logs
from kerma_runner.worker.logs import GrowingFile
from kit.programs.script_engine import ScriptMonitor

PATTERN = "fluka_*/*001.out"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "fluka_77" / "in001.out"
    path.parent.mkdir()
    return path


def test_a_file_that_appears_late_is_read_as_it_grows(tmp_path: Path, log: Path) -> None:
    file = GrowingFile(tmp_path, PATTERN)
    assert file.look() == []
    log.write_text("one\ntw")
    assert file.look() == ["one"]
    assert file.look() == []
    with log.open("a") as more:
        more.write("o\nthree\n")
    assert file.look() == ["two", "three"]


def test_a_file_that_vanishes_tells_nothing_and_may_come_back(tmp_path: Path, log: Path) -> None:
    file = GrowingFile(tmp_path, PATTERN)
    log.write_text("one\n")
    assert file.look() == ["one"]
    log.rename(tmp_path / "in001.out")
    assert file.look() == []
    shutil.rmtree(log.parent)
    assert file.look() == []
    log.parent.mkdir()
    log.write_text("again\n")
    assert file.look() == ["again"]


def test_a_file_that_is_moved_between_finding_and_reading_tells_nothing(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # rfluka moves its output away at the end
    monkeypatch.setattr(WorkFolder, "matching", lambda *_: ("fluka_77/in001.out",))
    assert GrowingFile(tmp_path, PATTERN).look() == []


def test_a_work_directory_that_is_gone_tells_nothing(tmp_path: Path) -> None:
    assert GrowingFile(tmp_path / "gone", PATTERN).look() == []


def test_a_truncated_file_is_read_from_its_beginning(tmp_path: Path, log: Path) -> None:
    file = GrowingFile(tmp_path, PATTERN)
    log.write_text("a longer line\nhalf")
    assert file.look() == ["a longer line"]
    log.write_text("new\n")
    assert file.look() == ["new"]


def test_a_rotated_file_is_read_from_its_beginning(tmp_path: Path, log: Path) -> None:
    file = GrowingFile(tmp_path, PATTERN)
    log.write_text("one\nha")
    assert file.look() == ["one"]
    log.rename(log.with_suffix(".old"))
    log.write_text("two, and longer than the first was\n")
    assert file.look() == ["two, and longer than the first was"]


@pytest.mark.parametrize("kind", ["directory", "fifo", "device", "link"])
@pytest.mark.parametrize("found", [True, False])
def test_what_is_no_file_is_not_read(
    tmp_path: Path, log: Path, kind: str, found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if found:  # it replaced a file after that was found
        monkeypatch.setattr(WorkFolder, "matching", lambda *_: ("fluka_77/in001.out",))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("secret\n")
    match kind:
        case "directory":
            log.mkdir()
        case "fifo":
            os.mkfifo(log)
        case "device":
            log.symlink_to("/dev/zero")
        case _:
            log.symlink_to(elsewhere)
    assert GrowingFile(tmp_path, PATTERN).look() == []
    texts = logs.log_files(tmp_path, (PATTERN,))
    assert "secret" not in str(texts)


def test_a_log_that_can_not_be_read_says_so(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WorkFolder, "matching", lambda *_: ("fluka_77/in001.out",))
    told = {"fluka_77/in001.out": "[this log cannot be read: No such file or directory]\n"}
    assert logs.log_files(tmp_path, (PATTERN,)) == told


def test_a_log_whose_name_is_no_text_is_kept(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.log")).write_text("told")
    assert (
        logs.encode_logs(logs.log_files(tmp_path, ("*.log",))) == '{"\ufffd.log":"told"}'.encode()
    )


def test_bytes_that_are_no_text_do_not_hide_what_is(tmp_path: Path, log: Path) -> None:
    log.write_bytes(b"\xff\x00\xfe\nplain\n")
    assert GrowingFile(tmp_path, PATTERN).look()[-1] == "plain"


def test_a_line_of_megabytes_is_cut_and_the_next_is_read(tmp_path: Path, log: Path) -> None:
    log.write_bytes(b"x" * (5 << 20) + b"\nplain\n")
    file, lines = GrowingFile(tmp_path, PATTERN), []
    for _ in range(7):
        lines += file.look()
    assert lines[-1] == "plain"
    assert sum(map(len, lines)) <= logs.KEPT + (1 << 17)


@pytest.mark.parametrize("monitor", [FlukaMonitor, ShieldHitMonitor, TopasMonitor])
def test_monitors_take_any_line(
    monitor: type[FlukaMonitor | ShieldHitMonitor | TopasMonitor],
) -> None:
    digits = "9" * 5000
    lines = [
        "x" * (2 << 20),
        "\x00\ufffd",
        f"Primary particle no. {digits} ETR: 1 hours 1 minutes 1 seconds",
        f"Requested number of primaries NSTAT : {digits}",
        " NEXT SEEDS:",
        f"{digits} 1 1 1E999 1 1",
        "1 1 1 1E999 1 1",
        f"Begin processing for Run: 0, History: {digits}",
        f"Particle source a: Total number of histories: {digits}",
    ]
    made = monitor(10)
    told = [progress for line in lines if (progress := made.feed(line)) is not None]
    assert all(0 <= progress.primaries <= 10 for progress in told)


async def test_progress_is_told_while_a_file_comes_grows_and_goes(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_LOOK_SECONDS", 0.001)
    news: asyncio.Queue[Progress] = asyncio.Queue()
    watching = asyncio.create_task(
        logs.watch_file(tmp_path, PATTERN, ScriptMonitor(), news.put_nowait)
    )
    async with asyncio.timeout(60):
        log.write_text("done 1\ndone 2\ndone")
        assert (await news.get()).primaries == 2
        log.unlink()
        log.write_text("done 7\n")
        assert (await news.get()).primaries == 7
    assert not watching.done()
    watching.cancel()
