"""``kerma engines convert``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine_inputs import figure, project, zone
from kerma_client.commands.engines import app

RUNNER = CliRunner()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    figures = [figure("f", "box", width=4, height=4, depth=4)]
    mapping = project(
        figures, [zone("z", 276, "f")], figure("w", "box", width=9, height=9, depth=9)
    )
    path = tmp_path / "project.json"
    path.write_text(json.dumps(mapping))
    return path


def test_input_files_are_written(saved: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    done = RUNNER.invoke(app, ["convert", str(saved), "--engine", "fluka", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "START         1000.0" in (out / "fl_sim.inp").read_text()
    assert "dose" in done.stdout
    assert "note: physic" in done.stderr


def test_problems_are_named_and_nothing_is_written(saved: Path, tmp_path: Path) -> None:
    mapping = json.loads(saved.read_text())
    mapping["beam"]["energy"] = "high"
    mapping["scoringManager"]["outputs"][0]["detectorUuid"] = "gone"
    saved.write_text(json.dumps(mapping))
    out = tmp_path / "out"
    done = RUNNER.invoke(app, ["convert", str(saved), "--engine", "shieldhit", "--out", str(out)])
    assert done.exit_code == 1
    assert "beam.energy" in done.stderr
    assert "scoringManager.outputs[0].detectorUuid" in done.stderr
    assert not out.exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"[" * 100_000, b"\xff\xfe"])
def test_anything_but_a_project_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    done = RUNNER.invoke(app, ["convert", str(path), "--engine", "fluka", "--out", str(tmp_path)])
    assert done.exit_code == 1
    assert done.stderr.startswith("kerma: ")


def test_an_unknown_engine_is_refused(saved: Path, tmp_path: Path) -> None:
    done = RUNNER.invoke(app, ["convert", str(saved), "--engine", "x", "--out", str(tmp_path)])
    assert (done.exit_code, "no such engine" in done.stderr) == (1, True)
