"""The stand-ins of licensed engines behave as all other tests assume."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from kerma_engines.adapter.port import InputSet
from kerma_engines.errors import ReadError
from kerma_engines.fluka.read.read import read as read_fluka
from kerma_engines.results.merge import MergeState
from kerma_engines.shieldhit.read.read import read as read_shieldhit
from kerma_engines.topas.read.read import read as read_topas
from standins.behaviour import MODE, Mode, install

if TYPE_CHECKING:
    from pathlib import Path

    from kerma_engines.results.estimators import Estimator

DETECT = """
Geometry Cyl   # along the beam
    Name Depth
    R 0 10 1
    Z 0 20 40
Output
    Filename profile.bdo
    Geo Depth
    Quantity Dose
    Quantity TLET
Output
    Filename spectrum.bdo
    Geo Depth
    Quantity Fluence
    Diff1 0.1 200 5 log
    Diff1Type E
"""
FLUKA = """TITLE
stand-in
USRBIN           10.    ENERGY      -21.       5.0       5.0      20.0dose
USRBIN          -5.0      -5.0       0.0       1.0       2.0      40.0&
USRBIN           11.    PROTON      -22.       5.0       0.0      20.0fluence
USRBIN           0.0       0.0       0.0       3.0       4.0       5.0&
RANDOMIZ         1.0{seed:10.1f}
START       {primaries:10.1f}
STOP
"""
TOPAS = """i:Ts/Seed = {seed}
i:Ts/NumberOfThreads = 2
i:Ts/ShowHistoryCountAtInterval = 10
s:Ge/Phantom/Type = "TsBox"
i:Ge/Phantom/ZBins = 40
s:Sc/Dose/Quantity = "DoseToMedium"
s:Sc/Dose/Component = "Phantom"
s:Sc/Dose/OutputFile = "depth_dose"
sv:Sc/Dose/Report = 2 "Mean" "Standard_Deviation"
i:So/Beam/NumberOfHistoriesInRun = {primaries}
"""
ENGINES = ("shieldhit", "fluka", "topas")
READERS = {"shieldhit": read_shieldhit, "fluka": read_fluka, "topas": read_topas}


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    return install(tmp_path / "bin", seconds=0.05)


def prepare(engine: str, folder: Path, seed: int, primaries: int = 50) -> list[str]:
    """Write input files to ``folder`` and return the command line that users of the engine run."""
    folder.mkdir()
    if engine == "shieldhit":
        (folder / "beam.dat").write_text(f"NSTAT {primaries} -1 ! number\n")
        (folder / "detect.dat").write_text(DETECT)
        return ["shieldhit", "-N", str(seed), str(folder)]
    text = {"fluka": FLUKA, "topas": TOPAS}[engine].format(seed=seed, primaries=primaries)
    name = {"fluka": "job.inp", "topas": "job.txt"}[engine]
    (folder / name).write_text(text)
    return ["rfluka", "-M", "1", str(folder / name)] if engine == "fluka" else ["topas", name]


def run(
    programs: Path, engine: str, folder: Path, seed: int = 3, mode: Mode = Mode.OK
) -> subprocess.CompletedProcess[str]:
    command = prepare(engine, folder, seed)
    return subprocess.run(
        [str(programs / command[0]), *command[1:]],
        cwd=folder,
        env={**os.environ, MODE: mode.value},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
        check=False,
    )


def results(engine: str, folder: Path) -> tuple[Estimator, ...]:
    return READERS[engine](folder, InputSet(engine, {}, 50))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_good_run_gives_readable_results_of_its_seed(
    programs: Path, tmp_path: Path, engine: str
) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert run(programs, engine, tmp_path / name, seed).returncode == 0
    same, again, other = (results(engine, tmp_path / name) for name in "abc")
    assert {estimator.primaries for estimator in same} == {50}
    assert (same[0].pages[0].values == again[0].pages[0].values).all()
    assert (same[0].pages[0].values != other[0].pages[0].values).all()
    (first, *_) = MergeState.fold(map(MergeState.of, (same, other))).result()
    assert first.primaries == 100


def test_results_are_what_the_inputs_ask_for(programs: Path, tmp_path: Path) -> None:
    for engine in ENGINES:
        run(programs, engine, tmp_path / engine)
    profile, spectrum = results("shieldhit", tmp_path / "shieldhit")
    assert (profile.name, [page.name for page in profile.pages]) == ("profile", ["DOSE", "TLET"])
    assert (spectrum.name, spectrum.pages[0].shape) == ("spectrum", (40, 5))
    box, ring = results("fluka", tmp_path / "fluka")
    assert (box.name, box.pages[0].name, box.pages[0].shape) == ("21", "ENERGY", (2, 40))
    assert (ring.pages[0].name, ring.pages[0].shape) == ("FLUENCE PROTON", (3, 4, 5))
    (dose,) = results("topas", tmp_path / "topas")
    assert (dose.name, dose.pages[0].shape) == ("depth_dose", (40,))
    assert dose.pages[0].errors is not None


PROGRESS = {
    "shieldhit": r"^ +Primary particle no\. +50 +ETR: +0 hours +0 minutes +0 seconds$",
    "fluka": r"^ +50 +0 +0 +\S+ +\S+ +50$",
    "topas": r"^G4WT0 > Begin processing for Run: 0, History: 40$",
}
MARKERS = {
    "shieldhit": r"Run time: +0 hours +0 minutes +0 seconds",
    "fluka": r"^ \* ====== +End of FLUKA \S+ run +====== \*$",
    "topas": r"^TOPAS run sequence complete\.$",
}


def log_of(engine: str, folder: Path, run: subprocess.CompletedProcess[str]) -> str:
    if engine == "shieldhit":
        return (folder / "shieldhit_0003.log").read_text(errors="replace")
    return (folder / "job001.out").read_text(errors="replace") if engine == "fluka" else run.stdout


@pytest.mark.parametrize("engine", ENGINES)
def test_logs_tell_progress_and_end(programs: Path, tmp_path: Path, engine: str) -> None:
    done = run(programs, engine, tmp_path / "ok")
    log = log_of(engine, tmp_path / "ok", done)
    assert re.search(PROGRESS[engine], log, re.MULTILINE)
    assert re.search(MARKERS[engine], log, re.MULTILINE)
    done = run(programs, engine, tmp_path / "quiet", mode=Mode.NO_MARKER)
    assert done.returncode == 0
    assert not re.search(MARKERS[engine], log_of(engine, tmp_path / "quiet", done), re.MULTILINE)
    assert results(engine, tmp_path / "quiet")


@pytest.mark.parametrize("engine", ENGINES)
def test_failures(programs: Path, tmp_path: Path, engine: str) -> None:
    assert run(programs, engine, tmp_path / "crash", mode=Mode.CRASH).returncode != 0
    for mode in (Mode.PARTIAL, Mode.GARBAGE):
        assert run(programs, engine, tmp_path / mode.value, mode=mode).returncode == 0
        with pytest.raises(ReadError):
            results(engine, tmp_path / mode.value)


def test_termination_can_be_ignored(programs: Path, tmp_path: Path) -> None:
    command = prepare("shieldhit", tmp_path / "work", 3)
    environment = {**os.environ, MODE: Mode.IGNORES_SIGTERM.value, "KERMA_STANDIN_SECONDS": "8"}
    command[0] = str(programs / command[0])
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "Primary particle no.           5" not in process.stdout.readline():
            pass
        process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.kill()
        assert process.wait() == -signal.SIGKILL
