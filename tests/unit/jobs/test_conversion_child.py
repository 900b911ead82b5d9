"""Submissions are converted for what the engines of the catalogue can do."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from kerma_engines.catalogue.catalogue import Catalogue, load_catalogue
from kerma_engines.geant4.data import REQUIRED
from kerma_jobs.adapters.conversion_child import answer
from kit.projects import demo_project


def neutrons() -> bytes:
    project = demo_project()
    project["beam"]["particle"] = {"id": 1, "name": "Neutron", "a": 1, "z": 0}
    return orjson.dumps({"engine": "geant4", "kind": "project", "payload": project})


def test_data_sets_of_the_catalogue_allow_what_needs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*REQUIRED, "GEANT4_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
        (tmp_path / name).mkdir()
        (tmp_path / name / "data").touch()
    (problem,) = orjson.loads(answer(neutrons(), Catalogue()))["problems"]
    assert "neutrons do not interact" in problem[1]
    variables = ", ".join(f'{name} = "{tmp_path / name}"' for name in REQUIRED)
    file = tmp_path / "engines.toml"
    file.write_text(f"[geant4]\nenvironment = {{ {variables} }}\n")
    assert "inputs" in orjson.loads(answer(neutrons(), load_catalogue(file)))
