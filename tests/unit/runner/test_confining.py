"""What a worker lets an engine read, and how it reports exceeded limits."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from kerma_common.telemetry.logs import JsonFormatter
from kerma_engines.adapter.environment import readable_places
from kerma_engines.adapter.port import Command
from kerma_engines.catalogue.catalogue import CatalogueError, load_catalogue
from kerma_runner.worker.confining import confinement, exceeded, signal_name
from kerma_runner.worker.serve import find_sandbox
from kerma_runner.worker.settings import WorkerSettings
from kerma_sandbox.confinement import Exit, Limit
from kerma_sandbox.files.places import installation
from kerma_sandbox.measure import Mode
from kerma_sandbox.sandbox import Wall

SETTINGS = WorkerSettings(task_memory=1 << 30, task_processes=7)


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    path.touch()
    path.chmod(stat.S_IRWXU)
    return path


def test_the_folder_of_a_program_is_its_installation(tmp_path: Path) -> None:
    work = tmp_path / "scratch" / "1"
    flat = program(tmp_path / "fluka" / "rfluka")
    deep = program(tmp_path / "shieldhit" / "bin" / "shieldhit")
    assert installation(flat, kept_from=[work]) == (flat.parent,)
    assert installation(deep, kept_from=[work]) == (deep.parent.parent,)


def test_a_folder_that_holds_the_work_of_others_is_not_read(tmp_path: Path) -> None:
    beside = program(tmp_path / "data" / "shieldhit")
    assert installation(beside, kept_from=[tmp_path / "data" / "scratch" / "1"]) == (beside,)


def test_a_home_is_not_an_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "ada"))
    loose = program(tmp_path / "ada" / "bin" / "topas")
    assert installation(loose, kept_from=[tmp_path / "work"]) == (loose,)


@pytest.mark.parametrize(
    "program", ["/home/alice/rfluka", "/home/alice/bin/rfluka", "/srv/bin/topas", "/mnt/shieldhit"]
)
def test_homes_of_others_and_top_folders_are_no_installations(program: str) -> None:
    assert installation(Path(program), kept_from=[]) == (Path(program),)
    deeper = Path("/home/alice/topas/bin/topas")
    assert installation(deeper, kept_from=[]) == (Path("/home/alice/topas"),)


def test_a_link_is_followed_to_the_installation(tmp_path: Path) -> None:
    real = program(tmp_path / "opt" / "topas" / "bin" / "topas")
    link = tmp_path / "links" / "topas"
    link.parent.mkdir()
    link.symlink_to(real)
    found = installation(link, kept_from=[tmp_path / "work"])
    assert found == (link.parent, real.parent.parent)


def test_folders_in_variables_are_read_unless_they_hold_the_work(tmp_path: Path) -> None:
    work = tmp_path / "data" / "scratch" / "1"
    for folder in (work, tmp_path / "sets", tmp_path / "home"):
        folder.mkdir(parents=True)
    variables = {
        "G4LEDATA": str(tmp_path / "sets"),
        "LD_LIBRARY_PATH": f"{tmp_path / 'gone'}:relative:{tmp_path / 'data'}",
        "HOME": str(tmp_path / "home"),
        "OMP_NUM_THREADS": "1",
    }
    assert readable_places("topas", variables, (), work) == (tmp_path / "sets",)


def test_a_folder_named_for_an_engine_may_not_hold_the_work(tmp_path: Path) -> None:
    work = tmp_path / "scratch" / "1"
    work.mkdir(parents=True)
    command = Command(("shieldhit",), readable=(tmp_path,))
    with pytest.raises(ValueError, match="name narrower folders"):
        confinement(command, {}, work, SETTINGS)


def test_a_folder_that_holds_something_private_is_not_read(tmp_path: Path) -> None:
    """The data may be elsewhere than the work folders."""
    work, data = tmp_path / "scratch" / "1", tmp_path / "srv" / "data"
    for folder in (work, data):
        folder.mkdir(parents=True)
    beside = program(tmp_path / "srv" / "bin" / "shieldhit")
    variables = {"FLUPRO": str(tmp_path / "srv")}
    assert readable_places(str(beside), variables, (), work, [data]) == (beside,)
    with pytest.raises(ValueError, match=f"names {data.parent}, which holds {data}"):
        confinement(Command(("x",), readable=(data.parent,)), {}, work, SETTINGS, [data])


@pytest.mark.parametrize("path", ["data", "/"])
def test_the_catalogue_refuses_folders_that_are_none(tmp_path: Path, path: str) -> None:
    file = tmp_path / "engines.toml"
    file.write_text(f'[fluka]\nreadable = ["{path}"]\n')
    with pytest.raises(CatalogueError, match=r"fluka\.readable: must be a list of absolute paths"):
        load_catalogue(file)


def test_what_the_catalogue_names_reaches_the_command(tmp_path: Path) -> None:
    file = tmp_path / "engines.toml"
    file.write_text('[fluka]\nreadable = ["/opt/data"]\n')
    started = load_catalogue(file).start("fluka", Command(("rfluka",), readable=(tmp_path,)))
    assert started.readable == (tmp_path, Path("/opt/data"))


@pytest.mark.parametrize("limit", Limit)
def test_every_limit_that_is_watched_has_a_code_and_a_setting(limit: Limit) -> None:
    told = exceeded(Exit(-9, 1.0, limit), "", SETTINGS)
    assert told is not None
    assert f"KERMA_WORKER_TASK_{limit.value.upper()}" in told[1]


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ("terminate called after throwing an instance of 'std::bad_alloc'", "ADDRESS_SPACE_LIMIT"),
        ("OSError: [Errno 24] Too many open files: 'x'", "OPEN_FILES_LIMIT"),
    ],
)
def test_limits_of_the_kernel_are_known_by_what_engines_say(errors: str, code: str) -> None:
    told = exceeded(Exit(1, 1.0), errors, SETTINGS)
    assert told is not None
    assert told[0] == code
    assert exceeded(Exit(0, 1.0), errors, SETTINGS) is None


def test_other_ends_exceed_nothing() -> None:
    assert exceeded(Exit(3, 1.0), "no beam", SETTINGS) is None


def test_the_log_names_the_sandbox_and_its_open_walls(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As a field of its own: ``level`` is the level of the line."""
    found = find_sandbox(WorkerSettings(scratch=tmp_path, sandbox=Mode.OFF))
    line = json.loads(JsonFormatter("worker").format(caplog.records[-1]))
    assert (line["level"], line["sandbox"]) == ("WARNING", found.level)
    assert line["open"] == list(Wall)


def test_signals_without_a_name_are_told_by_number() -> None:
    assert signal_name(11) == "SIGSEGV"
    assert signal_name(40) == "signal 40"
