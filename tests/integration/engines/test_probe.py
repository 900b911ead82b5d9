"""Version probes: bounded, in the environment of tasks, and gone afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from kerma_engines.adapter.environment import engine_environment, passed_on
from kerma_engines.catalogue import probe
from kerma_engines.catalogue.probe import Unusable
from kerma_sandbox.measure import measure
from kerma_sandbox.sandbox import Sandbox
from kerma_sandbox.start import Room

Ask = Callable[[list[str], dict[str, str]], str]


@pytest.fixture(scope="module")
def strongest(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    return measure(tmp_path_factory.mktemp("measured"))


@pytest.fixture(params=["confined", "free"])
def ask(request: pytest.FixtureRequest, strongest: Sandbox) -> Ask:
    sandbox = strongest if request.param == "confined" else Sandbox()
    return lambda argv, own: probe.ask(argv, own, (), sandbox)


def program(folder: Path, text: str) -> str:
    path = folder / "program"
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def family(marker: str) -> list[int]:
    """Return living processes with this variable."""
    found = []
    for process in psutil.process_iter():
        try:
            if marker in process.environ() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def test_endless_output_is_cut_and_its_processes_end(tmp_path: Path, ask: Ask) -> None:
    endless = program(tmp_path, "#!/bin/sh\nyes | cat &\nyes\n")
    with pytest.raises(Unusable, match="printed more than 1 MiB"):
        ask([endless], {"PROBED_ENDLESS": "1"})
    assert family("PROBED_ENDLESS") == []


def test_a_hanging_program_ends_with_its_children(
    tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "SECONDS", 0.2)
    hanging = program(tmp_path, "#!/bin/sh\nsleep 1000 & sleep 1000\n")
    with pytest.raises(Unusable, match=r"did not end within 0\.2 s"):
        ask([hanging], {"PROBED_HANGING": "1"})
    assert family("PROBED_HANGING") == []


def test_a_program_that_leaves_children_behind_has_told_its_version(
    tmp_path: Path, ask: Ask
) -> None:
    leaving = program(tmp_path, "#!/bin/sh\necho v1.2\nsleep 1000 &\nexit 3\n")
    assert ask([leaving], {"PROBED_LEAVING": "1"}) == "v1.2\n"
    assert family("PROBED_LEAVING") == []


def test_much_output_is_no_fault_below_the_bound(tmp_path: Path, ask: Ask) -> None:
    chatty = program(tmp_path, "#!/bin/sh\necho v1.2\nyes | head -c 300000\n")
    told = ask([chatty], {})
    assert told.startswith("v1.2\n")
    assert len(told) == 1 << 16


@pytest.mark.parametrize(
    "writes",
    [
        "i=0; while :; do head -c 100000 program.txt > $i; i=$((i + 1)); done",
        "exec 3> gone; rm gone; yes >&3; sleep 1000",
        "i=0; while :; do : > $i; i=$((i + 1)); done",
    ],
    ids=["files", "a deleted file", "empty files"],
)
def test_what_a_probe_writes_is_bounded(
    tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch, writes: str
) -> None:
    """A limit on the size of each file left the disk to a program that writes many."""
    monkeypatch.setattr(probe, "ROOM", Room(size=4 << 20, files=100))
    writing = program(tmp_path, f"#!/bin/sh\nyes | head -c 100000 > program.txt\n{writes}\n")
    with pytest.raises(Unusable, match="wrote more than 4 MiB or 100 files"):
        ask([writing], {"PROBED_WRITING": "1"})
    assert family("PROBED_WRITING") == []


@pytest.mark.parametrize(
    ("text", "why"),
    [("#!/no/such/interpreter\n", "No such file"), ("garbage", "Exec format error")],
)
def test_what_can_not_be_started_says_why(tmp_path: Path, ask: Ask, text: str, why: str) -> None:
    with pytest.raises(Unusable, match=f"cannot be started: .*{why}"):
        ask([program(tmp_path, text)], {})


def test_a_program_has_a_folder_of_its_own_that_goes(tmp_path: Path, ask: Ask) -> None:
    told = ask([program(tmp_path, "#!/bin/sh\ntouch left-behind\npwd\n")], {})
    assert not Path(told.strip()).exists()


def test_a_program_sees_the_variables_of_its_tasks_and_no_secret(
    tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERMA_PG_URL", "postgresql://secret")
    monkeypatch.setenv("SOME_TOKEN", "secret")
    monkeypatch.setenv("FLUPRO", "/opt/fluka")
    told = ask([program(tmp_path, "#!/bin/sh\nenv\n")], {"OWN": "1"})
    seen = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
    expected = engine_environment(os.environ, Path(seen["TMPDIR"]), {"OWN": "1"})
    shell = {"PWD", "OLDPWD", "SHLVL", "_"}
    assert {k: v for k, v in seen.items() if k not in shell} == expected
    assert seen["FLUPRO"] == "/opt/fluka"
    assert "secret" not in told


def test_data_variables_of_engines_are_passed_on_and_nothing_else() -> None:
    engines = {
        "TOPAS_G4_DATA_DIR": "a",
        "FLUPRO": "b",
        "G4LEDATA": "c",
        "GEANT4_DATA_DIR": "d",
        "LD_LIBRARY_PATH": "e",
        "PATH": "f",
    }
    others = {
        "KERMA_NATS_URL": "x",
        "FLUENTD_TOKEN": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "LANG": "x",
    }
    assert passed_on({**engines, **others}) == engines


def test_a_deep_tree_that_a_program_leaves_is_removed(
    tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tree deeper than Python's recursion limit once kept the platform from starting."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    deep = program(
        tmp_path,
        "#!/bin/sh\ni=0\nwhile [ $i -lt 1200 ]; do mkdir d && cd -P d; i=$((i + 1)); done\n"
        "echo version 1.2\n",
    )
    assert "version 1.2" in ask([deep], {})
    assert [entry.name for entry in tmp_path.iterdir()] == ["program"]
