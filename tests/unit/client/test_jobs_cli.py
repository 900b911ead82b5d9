"""The output of ``kerma run`` before it waits."""

from __future__ import annotations

from typing import Any

import pytest

from kerma_client.submission import notes_of
from kerma_engines.catalogue.registry import engine
from kit.inputs import editor as make


def body(keyword: str, **changes: Any) -> dict[str, Any]:
    definition = make.project(
        {"a": make.box((1, 1, 1))},
        [make.zone("water", "a")],
        quantities=[{"keyword": keyword}],
    )
    return {
        "engine": "geant4",
        "project": definition,
        **changes,
    }


def test_slow_scorers_are_told_before_the_run() -> None:
    (note,) = notes_of(body("tLET"))
    assert "twice as long" in note
    assert notes_of(body("Dose")) == ()


def test_neutral_particles_in_a_macro_are_told_before_the_run() -> None:
    inputs = engine("geant4").convert(body("Fluence")["project"])
    files = {"engine": "geant4", "files": dict(inputs.files)}
    (note,) = notes_of(files)
    assert note.startswith("run.mac:")
    assert "counts neutrons and photons" in note


@pytest.mark.parametrize(
    "other",
    [
        body("Alanine"),
        body("tLET", project={}),
        body("tLET", engine="other"),
        {"engine": "geant4", "files": {"run.mac": "/run/beamOn 1"}},
    ],
)
def test_what_cannot_be_converted_here_is_left_to_the_answer(other: dict[str, Any]) -> None:
    assert notes_of(other) == ()
