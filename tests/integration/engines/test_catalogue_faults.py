"""Faults in a catalogue are reported with their cause, and nothing substitutes for the engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from kerma_engines.adapter.port import Command
from kerma_engines.catalogue import probe
from kerma_engines.catalogue.catalogue import (
    Absent,
    Catalogue,
    CatalogueError,
    Offer,
    load_catalogue,
)
from kerma_engines.geant4.data import REQUIRED
from kerma_engines.geant4.engine import Geant4
from kerma_engines.geant4.version import release


def load(folder: Path, text: str) -> Catalogue:
    path = folder / "engines.toml"
    path.write_text(text)
    return load_catalogue(path)


def found(catalogue: Catalogue, name: str) -> Offer | Absent:
    (one,) = (known for known in catalogue.survey() if known.name == name)
    return one


def absent(catalogue: Catalogue, name: str) -> Absent:
    one = found(catalogue, name)
    assert isinstance(one, Absent)
    return one


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "shieldhit"
    path.write_text("#!/bin/sh\necho 1.0.1\n")
    path.chmod(0o755)
    return path


def test_every_engine_is_told_of(tmp_path: Path) -> None:
    survey = load(tmp_path, "").survey()
    assert [known.name for known in survey] == ["geant4", "shieldhit", "fluka", "topas"]
    missing = absent(load(tmp_path, ""), "fluka")
    assert not missing.broken
    assert "no rfluka on PATH" in missing.why


@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        (lambda path: path.unlink(), "No such file or directory"),
        (lambda path: path.chmod(0o644), "is not executable"),
        (lambda path: (path.unlink(), path.mkdir()), "is not a file"),
        (lambda path: path.write_text("#!/no/such\n"), "cannot be started: No such file"),
        (lambda path: path.write_text("#!/bin/sh\nyes\n"), "more than 1 MiB"),
        (lambda path: path.write_text("#!/bin/sh\nsleep 1000\n"), "did not end within"),
    ],
    ids=["gone", "mode", "directory", "interpreter", "endless", "hanging"],
)
@pytest.mark.parametrize("substitute", ["", 'substitute = "geant4"\n'])
def test_a_path_that_does_not_work_is_named_and_nothing_stands_in(
    tmp_path: Path,
    program: Path,
    prepare: object,
    why: str,
    substitute: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probe, "SECONDS", 0.1 if why == "did not end within" else 30.0)
    assert callable(prepare)
    prepare(program)
    text = f'[shieldhit]\npath = "{program}"\nversion = ["--version"]\n{substitute}'
    catalogue = load(tmp_path, text)
    for chosen in (catalogue, catalogue.substituting("geant4")):
        told = absent(chosen, "shieldhit")
        assert told.broken
        assert told.why.startswith(f"{program}: ")
        assert why in told.why
        assert [offer.name for offer in chosen.offers() if offer.name == "shieldhit"] == []


def test_a_substitute_that_is_missing_is_named_with_its_cause(tmp_path: Path) -> None:
    told = absent(load(tmp_path, '[fluka]\nsubstitute = "topas"\n'), "fluka")
    assert told.broken
    assert "topas, its substitute" in told.why
    assert "no topas on PATH" in told.why


def test_a_program_that_vanishes_is_not_replaced_by_another(tmp_path: Path, program: Path) -> None:
    catalogue = load(tmp_path, f'[shieldhit]\npath = "{program}"\n')
    program.unlink()
    started = catalogue.start("shieldhit", Command(("shieldhit", "-N", "1")))
    assert started.argv[0] == str(program)


def data_sets(folder: Path, names: tuple[str, ...]) -> str:
    for name in names:
        (folder / name).mkdir()
        (folder / name / "data").touch()
    return ", ".join(f'{name} = "{folder / name}"' for name in names)


def test_data_sets_of_the_catalogue_switch_to_full_physics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*REQUIRED, "GEANT4_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    text = f"[geant4]\nenvironment = {{ {data_sets(tmp_path, REQUIRED)} }}\n"
    catalogue = load(tmp_path, text)
    assert isinstance(found(catalogue, "geant4"), Offer)
    geant4 = Geant4.from_environment(catalogue.environment("geant4"))
    assert geant4.full
    folder = Path(__file__).parents[2] / "unit/engines/geant4/inputs"
    files = {name: (folder / name).read_text() for name in ("box.gdml", "depth.mac")}
    accepted = catalogue.engines()["geant4"].accept_files(files)
    command = catalogue.engines()["geant4"].prepare(accepted, tmp_path, primaries=1, seed=1)
    for name in REQUIRED:
        assert command.env[name] == str(tmp_path / name)


def test_data_sets_that_are_asked_for_and_not_there_are_a_fault(tmp_path: Path) -> None:
    text = f"[geant4]\nenvironment = {{ {data_sets(tmp_path, REQUIRED[1:])} }}\n"
    told = absent(load(tmp_path, text), "geant4")
    assert told.broken
    assert REQUIRED[0] in told.why
    assert REQUIRED[1] not in told.why


def test_the_version_is_that_of_geant4_with_its_binding(tmp_path: Path) -> None:
    offer = found(load(tmp_path, ""), "geant4")
    assert isinstance(offer, Offer)
    geant4, _, binding = offer.version.partition(" ")
    assert geant4.count(".") == 2
    assert binding.startswith("(geant4-pybind ")
    assert [release(1141), release(1130), release(1073)] == ["11.4.1", "11.3.0", "10.7.3"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[shieldhit]\nversion = "--version"\n', 'shieldhit.version: .*version = ["--version"]'),
        ("[shieldhit]\nversion = [3]\n", 'shieldhit.version: .*version = ["--version"]'),
        ("shieldhit = 3\n", "shieldhit: must be a table .*[shieldhit]"),
        ("[shieldhit]\npath = 3\n", 'shieldhit.path: .*path = "/opt'),
        ('[shieldhit]\npath = "~/bin/x"\n', "shieldhit.path: .*absolute.*~"),
        ('[shieldhit]\npaht = "/x"\n', "shieldhit.paht: no such key; known: path, version"),
        ("[shieldhit]\nlicence = 3\n", "shieldhit.licence: .*licence ="),
        ("[shieldhit]\nsubstitute = 3\n", 'shieldhit.substitute: .*"geant4"'),
        ("[shieldhit]\nenvironment = { A = 1 }\n", "shieldhit.environment.A: .*OMP_NUM_THREADS"),
        ('[shieldhit]\nenvironment = "A"\n', "shieldhit.environment: .*OMP_NUM_THREADS"),
        ('[fluka]\nenvironment = { KERMA_PG_URL = "x" }\n', "fluka.environment: KERMA_PG_URL"),
        ('[geant4]\npath = "/bin/true"\n', "geant4.path: .*geant4-pybind; remove"),
        ('[geant4]\nsubstitute = "geant4"\n', "geant4.substitute: .*remove"),
        ('[geant4]\nversion = ["-v"]\n', "geant4.version: .*remove"),
        ("shieldhit\n", "not TOML: .*[shieldhit]"),
    ],
)
def test_a_mistake_is_named_with_what_is_expected(tmp_path: Path, text: str, told: str) -> None:
    pattern = r"engines\.toml: .*" + told.replace("[", r"\[")
    with pytest.raises(CatalogueError, match=pattern):
        load(tmp_path, text)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError) as error:
        load(tmp_path, "[shieldhit]\npath = 3\n[fluka]\nlicence = 4\n")
    assert [line.split(": ")[1] for line in str(error.value).splitlines()] == [
        "shieldhit.path",
        "fluka.licence",
    ]
