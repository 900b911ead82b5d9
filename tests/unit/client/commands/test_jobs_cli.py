"""What ``kerma run`` says before it waits, and what ``kerma submit`` sends."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from kerma_client.cli import app
from kerma_client.commands import jobs
from kerma_client.submission import notes_of
from kerma_engines.catalogue.registry import engine
from kit.inputs import editor as make

if TYPE_CHECKING:
    from collections.abc import Iterator


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


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ((), {"engine": "geant4", "tasks": 8, "wait_for_engine": False}),
        (("--tasks", "3", "--wait", "--engine", "fluka"), {"tasks": 3, "wait_for_engine": True}),
    ],
)
def test_a_submission_prints_the_id_of_its_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], sent: dict[str, Any]
) -> None:
    taken: list[dict[str, Any]] = []

    def submit(job: dict[str, Any]) -> str:
        taken.append(job)
        return "20261122-012556-made"

    @contextmanager
    def connect(_data: Path) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(submit=submit)

    monkeypatch.setattr(jobs, "connect", connect)
    project = tmp_path / "project.json"
    project.write_text(json.dumps(body("Dose")["project"]))
    done = CliRunner().invoke(app, ["submit", str(project), *options])
    assert (done.exit_code, done.stdout) == (0, "20261122-012556-made\n"), done.output
    (job,) = taken
    assert job["project"]
    assert job.items() >= sent.items()
