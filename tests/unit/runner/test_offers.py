"""What a worker offers, from the catalogue of its machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from kerma_engines.catalogue import catalogue
from kerma_engines.catalogue.catalogue import CatalogueError
from kerma_runner.worker.offers import EnginesSettings, find_offers
from standins.behaviour import install


@pytest.fixture
def settings(tmp_path: Path) -> EnginesSettings:
    programs = install(tmp_path / "programs")
    file = tmp_path / "engines.toml"
    file.write_text(f'[topas]\npath = "{programs / "topas"}"\n[fluka]\nsubstitute = "topas"\n')
    return EnginesSettings(file=file)


def test_installed_engines_are_offered_and_what_they_stand_in_for(
    settings: EnginesSettings,
) -> None:
    found = find_offers(settings)
    assert set(found.engines) == set(found.versions) == set(found.digests) == {"geant4", "topas"}
    assert found.substitutes == {"fluka": "topas"}
    assert found.engines["topas"].name == "topas"


def test_what_is_not_available_is_logged_with_its_cause(
    settings: EnginesSettings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.file.write_text('[shieldhit]\npath = "/typo"\nsubstitute = "geant4"\n')
    found = find_offers(settings)
    assert found.substitutes == {}
    (warning,) = (record for record in caplog.records if record.levelname == "WARNING")
    assert "shieldhit is not available: /typo: No such file" in warning.getMessage()


def test_one_engine_may_stand_in_for_the_rest(settings: EnginesSettings) -> None:
    chosen = EnginesSettings(file=settings.file, substitute="geant4")
    assert find_offers(chosen).substitutes == {"fluka": "topas", "shieldhit": "geant4"}


def test_an_engine_that_can_not_be_imported_is_not_offered(
    settings: EnginesSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "_IMPORT", "raise ImportError('a library is missing')")
    assert set(find_offers(settings).engines) == {"topas"}
    with pytest.raises(
        CatalogueError, match=r"no engine can be run here(.|\n)*a library is missing"
    ):
        find_offers(EnginesSettings(file=settings.file.with_name("none.toml")))
