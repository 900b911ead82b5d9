"""A task from project to estimators, with stand-ins for the engines."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from engine_inputs import detector, figure, output, project, real_project, zone
from kerma_engines.adapter.port import Progress
from kerma_engines.catalogue.catalogue import load_catalogue
from kerma_engines.catalogue.registry import engine
from kerma_engines.results.estimators import Estimator
from standins.behaviour import install

PROGRAMS = {"shieldhit": "shieldhit", "fluka": "rfluka", "topas": "topas"}


def scored(**changes: Any) -> dict[str, Any]:
    figures = [figure("f", "box", width=4, height=4, depth=4)]
    world = figure("w", "box", width=9, height=9, depth=9)
    mapping = project(figures, [zone("z", 276, "f")], world, **changes)
    mapping["detectorManager"] = {"detectors": [detector()]}
    mapping["scoringManager"] = {
        "filters": [{"uuid": "p", "name": "protons", "particle": {"id": 2}}],
        "outputs": [
            # neither the alphabet nor a prefix decides which result belongs to which output
            output("b10", "Dose", "Fluence"),
            output("b1", "Fluence", filter="p"),
            output("a", "Dose"),
        ],
    }
    return mapping


def run(name: str, mapping: dict[str, Any], folder: Path) -> tuple[list[Progress], Any]:
    """Return the reported progress and the estimators of a task of 500 primaries."""
    programs = install(folder / "bin", seconds=0.0)
    (folder / "engines.toml").write_text(f'[{name}]\npath = "{programs / PROGRAMS[name]}"\n')
    code = engine(name)
    inputs = code.convert(mapping)
    work = folder / "task"
    work.mkdir()
    prepared = code.prepare(inputs, work, primaries=500, seed=3)
    command = load_catalogue(folder / "engines.toml").start(name, prepared)
    done = subprocess.run(
        command.argv, cwd=work, env=dict(command.env), capture_output=True, check=True, text=True
    )
    logs = sorted(work.glob(command.watch)) if command.watch else []
    # rfluka moves its log away when it has ended
    logs = logs or sorted(work.glob("*001.out"))
    lines = logs[0].read_text().splitlines() if command.watch else done.stdout.splitlines()
    monitor = code.monitor(500)
    told = [progress for line in lines if (progress := monitor.feed(line)) is not None]
    return told, code.read(work, inputs)


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_results_belong_to_their_outputs(name: str, tmp_path: Path) -> None:
    told, read = run(name, scored(), tmp_path)
    assert told[-1].primaries in (499, 500)
    estimators: tuple[Estimator, ...] = read
    assert [e.name for e in estimators] == ["b10", "b1", "a"]
    assert [len(e.pages) for e in estimators] == [2, 1, 1]
    assert [page.number for page in estimators[0].pages] == [0, 1]
    assert all(e.primaries == 500 for e in estimators)
    assert all(page.shape == (2, 3, 4) for e in estimators for page in e.pages)


def test_a_name_that_ends_like_a_task_is_its_own_output(tmp_path: Path) -> None:
    mapping = scored()
    outputs = [output("dose_0001", "Dose"), output("dose", "Fluence"), output("dose2024", "Dose")]
    mapping["scoringManager"] = {"outputs": outputs}
    _, read = run("shieldhit", mapping, tmp_path)
    estimators: tuple[Estimator, ...] = read
    assert [(e.name, e.pages[0].name) for e in estimators] == [
        ("dose_0001", "DOSE"),
        ("dose", "FLUENCE"),
        ("dose2024", "DOSE"),
    ]


def test_ex1_gives_all_its_pages(tmp_path: Path) -> None:
    _, read = run("shieldhit", real_project("ex1"), tmp_path)
    estimators: tuple[Estimator, ...] = read
    names = [(e.name, len(e.pages)) for e in estimators]
    assert names == [("z_profile", 4), ("yz_profile", 3), ("entrance", 7), ("peak", 7)]
    assert estimators[2].pages[6].shape == (640,)


def test_ex6_gives_all_its_pages(tmp_path: Path) -> None:
    _, read = run("fluka", real_project("ex6"), tmp_path)
    estimators: tuple[Estimator, ...] = read
    assert [(e.name, e.pages[0].shape) for e in estimators] == [
        ("AlongBeamAxis", (120,)),
        ("SlabYZ", (100, 120)),
    ]
