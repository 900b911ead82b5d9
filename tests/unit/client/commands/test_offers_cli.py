"""``kerma engines list``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kerma_client.api.models import Engine, Installation
from kerma_client.commands import offers
from kerma_client.commands.engines import app
from kerma_engines.catalogue.catalogue import CatalogueError
from kerma_sandbox.sandbox import Wall

RUNNER = CliRunner()
OFFERED = (
    Engine("fluka", 2, 6, (Installation("4-3.2", "ab" * 32, 2, 6, ("landlock",)),), None),
    Engine("topas", 0, 0, (), "geant4"),
)


def catalogue(folder: Path, text: str) -> list[str]:
    (folder / "engines.toml").write_text(text)
    return ["list", "--data", str(folder)]


def test_the_catalogue_of_the_data_is_listed(tmp_path: Path) -> None:
    command = catalogue(tmp_path, '[topas]\nsubstitute = "geant4"\n')
    done = RUNNER.invoke(app, [*command, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert [(o["name"], o["runs"]) for o in told["local"]] == [
        ("geant4", "geant4"),
        ("topas", "geant4"),
    ]
    assert told["platform"] is None
    assert "No Kerma runs on" in RUNNER.invoke(app, command).stdout


def test_what_is_not_available_is_told_with_its_cause(tmp_path: Path) -> None:
    command = catalogue(tmp_path, '[shieldhit]\npath = "/typo"\nsubstitute = "geant4"\n')
    shown = RUNNER.invoke(app, command).stdout
    assert "shieldhit is not available: /typo: No such file or directory" in shown
    assert "fluka is not available" not in shown
    told = json.loads(RUNNER.invoke(app, [*command, "--json"]).stdout)
    assert set(told["absent"]) == {"shieldhit", "fluka", "topas"}
    assert [offer["name"] for offer in told["local"]] == ["geant4"]


def test_what_confines_engines_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERMA_WORKER_SANDBOX", "off")
    command = catalogue(tmp_path, "")
    told = json.loads(RUNNER.invoke(app, [*command, "--json"]).stdout)["sandbox"]
    assert told["level"] == "none"
    assert "secrets" in told["open"]
    shown = " ".join(RUNNER.invoke(app, command).output.split())
    assert "Engines are confined by: none." in shown
    assert "Open: engines may use the network (network; docs/sandbox.md)." in shown
    assert "Not by namespaces: it is switched off" in shown


def test_every_wall_that_may_be_open_is_explained() -> None:
    assert set(offers.REACH) == set(Wall)


def test_what_workers_offer_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offers, "_offered", lambda _: OFFERED)
    shown = RUNNER.invoke(app, catalogue(tmp_path, "")).stdout
    assert "4-3.2" in shown
    assert "editor projects run on geant4" in shown
    assert "landlock" in shown


def test_a_broken_catalogue_is_refused(tmp_path: Path) -> None:
    done = RUNNER.invoke(app, catalogue(tmp_path, "["))
    assert done.exit_code == 1
    assert isinstance(done.exception, CatalogueError)
    assert "engines.toml" in str(done.exception)
