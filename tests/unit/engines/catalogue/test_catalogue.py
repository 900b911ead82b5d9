"""The catalogue: a machine's engines, their versions and their substitutes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from kerma_engines.adapter.port import Command, Program
from kerma_engines.catalogue.catalogue import CatalogueError, Offer, load_catalogue

SCRIPT = "#!/bin/sh\necho 'SHIELD-HIT12A  Version: v1.0.0-5-gc589a089'\n"


def program(folder: Path, text: str = SCRIPT, name: str = "shieldhit") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def catalogue(folder: Path, text: str) -> Path:
    path = folder / "engines.toml"
    path.write_text(text)
    return path


def test_without_a_file_only_geant4_is_offered(tmp_path: Path) -> None:
    (offer,) = load_catalogue(tmp_path / "engines.toml").offers()
    assert (offer.name, offer.runs) == ("geant4", "geant4")
    assert offer.version
    assert len(offer.digest) == 64


def test_an_installed_program_tells_version_and_digest(tmp_path: Path) -> None:
    path = program(tmp_path)
    mark = "\ufeff"  # as some editors put it before UTF-8
    text = f'{mark}[shieldhit]\npath = "{path}"\nversion = ["--version"]\nlicence = "registered"\n'
    offers = {o.name: o for o in load_catalogue(catalogue(tmp_path, text)).offers()}
    offer = offers["shieldhit"]
    assert offer.version == "1.0.0-5-gc589a089"
    assert offer.digest == hashlib.sha256(SCRIPT.encode()).hexdigest()
    assert offer.licence == "registered"
    assert set(offers) == {"geant4", "shieldhit"}


def test_a_program_without_an_option_is_told_by_its_folder(tmp_path: Path) -> None:
    path = program(tmp_path, name="fluka4-3.2/bin/rfluka")
    loaded = load_catalogue(catalogue(tmp_path, f'[fluka]\npath = "{path}"\n'))
    offer = loaded.probe("fluka")
    assert isinstance(offer, Offer)
    assert offer.version == "4-3.2"


@pytest.mark.parametrize(
    ("script", "names"),
    [
        ("#!/bin/sh\nexit 3\n", {"geant4", "shieldhit"}),
        ("#!/no/such/interpreter\n", {"geant4"}),
        ("garbage", {"geant4"}),
    ],
)
def test_a_program_is_offered_when_it_can_be_started(
    tmp_path: Path, script: str, names: set[str]
) -> None:
    path = program(tmp_path, script)
    text = f'[shieldhit]\npath = "{path}"\nversion = ["--version"]\n'
    assert {o.name for o in load_catalogue(catalogue(tmp_path, text)).offers()} == names


def test_one_engine_may_stand_in_for_all_that_are_missing(tmp_path: Path) -> None:
    text = f'[fluka]\npath = "{program(tmp_path, name="rfluka")}"\n'
    loaded = load_catalogue(catalogue(tmp_path, text)).substituting("geant4")
    runs = {offer.name: offer.runs for offer in loaded.offers()}
    assert runs == {"geant4": "geant4", "shieldhit": "geant4", "fluka": "fluka", "topas": "geant4"}
    with pytest.raises(CatalogueError, match="penelope"):
        loaded.substituting("penelope")


def test_a_path_that_is_gone_is_no_offer(tmp_path: Path) -> None:
    text = f'[topas]\npath = "{tmp_path / "topas"}"\n'
    loaded = load_catalogue(catalogue(tmp_path, text))
    assert loaded.runs("topas", editor=True) is None
    assert "topas" not in loaded.engines()


def test_a_substitute_runs_editor_projects_only(tmp_path: Path) -> None:
    loaded = load_catalogue(catalogue(tmp_path, '[shieldhit]\nsubstitute = "geant4"\n'))
    assert loaded.runs("shieldhit", editor=True) == "geant4"
    assert loaded.runs("shieldhit", editor=False) is None
    offer = next(o for o in loaded.offers() if o.name == "shieldhit")
    assert offer.runs == "geant4"
    assert offer.version


def test_an_installed_engine_goes_before_its_substitute(tmp_path: Path) -> None:
    text = f'[shieldhit]\npath = "{program(tmp_path)}"\nsubstitute = "geant4"\n'
    assert load_catalogue(catalogue(tmp_path, text)).runs("shieldhit", editor=True) == "shieldhit"


def test_a_command_gets_the_program_and_its_environment(tmp_path: Path) -> None:
    path = program(tmp_path)
    text = f'[shieldhit]\npath = "{path}"\nenvironment = {{ A = "1", B = "2" }}\n'
    command = Command(("shieldhit", "-N", "3"), env={"B": "4"}, watch="x.log")
    started = load_catalogue(catalogue(tmp_path, text)).start("shieldhit", command)
    assert started.argv == (str(path), "-N", "3")
    assert started.env == {"A": "1", "B": "4"}
    assert started.watch == "x.log"


def test_a_program_is_found_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = program(tmp_path, name="bin/rfluka")
    monkeypatch.setenv("PATH", str(path.parent), prepend=":")
    loaded = load_catalogue(catalogue(tmp_path, ""))
    assert loaded.program("fluka") == path
    assert set(loaded.engines()) == {"geant4", "fluka"}


def test_installed_engines_prepare_commands_of_their_programs(tmp_path: Path) -> None:
    path = program(tmp_path)
    text = f'[shieldhit]\npath = "{path}"\nenvironment = {{ A = "1" }}\n'
    found = load_catalogue(catalogue(tmp_path, text)).engines()["shieldhit"]
    inputs = found.accept_files(
        {
            "beam.dat": "NSTAT 10 0\n",
            "geo.dat": "",
            "mat.dat": "",
            "detect.dat": "Output\n    Filename dose.bdo\n    Quantity Dose\n",
        }
    )
    command = found.prepare(inputs, tmp_path, primaries=5, seed=2)
    assert command.argv == (str(path), "-N", "2", str(tmp_path))
    assert command.env == {"A": "1"}
    assert found.program == Program(command.argv[0], command.env, command.readable)
    assert (found.name, found.monitor(5).feed("nothing")) == ("shieldhit", None)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[shieldhit", "engines.toml"),
        ("[penelope]\n", "penelope"),
        ("[shieldhit]\npath = 3\n", "shieldhit.path"),
        ('[shieldhit]\npath = "bin/shieldhit"\n', "shieldhit.path"),
        ('[shieldhit]\npaht = "/bin/shieldhit"\n', "shieldhit.paht"),
        ('[shieldhit]\nsubstitute = "x"\n', "shieldhit.substitute"),
        ('[shieldhit]\nsubstitute = "shieldhit"\n', "shieldhit.substitute"),
        ('[shieldhit]\nenvironment = { "A B" = "x" }\n', "shieldhit.environment"),
    ],
)
def test_a_broken_catalogue_names_the_place(tmp_path: Path, text: str, place: str) -> None:
    with pytest.raises(CatalogueError, match=place):
        load_catalogue(catalogue(tmp_path, text))
