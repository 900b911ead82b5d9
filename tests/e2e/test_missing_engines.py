"""A machine without the licensed engines: what runs on Geant4 instead, what waits, what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from kerma_engines.catalogue.registry import engine
from kit.inputs.editor import box, mesh, project, zone
from kit.programs.family import KERMA, environment
from kit.running.clients.visitor import Visitor
from kit.running.whole import Whole, whole
from standins.behaviour import install

PROJECT = project(
    {"a": box((6, 6, 6))},
    [zone("water", "a")],
    detectors=[mesh((2, 2, 4), (1, 1, 4))],
    quantities=[{"keyword": "Dose"}],
    numberOfParticles=40,
)


@pytest.fixture(scope="module")
def kerma() -> Iterator[Whole]:
    """A Kerma with Geant4 only, which may substitute for the others."""
    with whole("--substitute") as made:
        made.up()
        yield made
        assert made.program is not None
        made.program.process.terminate()
        assert made.program.process.wait(90) == 0


@pytest.fixture(scope="module")
def visitor(kerma: Whole) -> Iterator[Visitor]:
    visitor = kerma.visitor().enter()
    yield visitor
    visitor.close()


def run(kerma: Whole, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*KERMA, *command, "--data", str(kerma.data)],
        env=environment(COLUMNS="200"),
        cwd=kerma.folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def input_files(name: str, folder: Path) -> Path:
    folder.mkdir()
    for file, text in engine(name).convert(PROJECT).files.items():
        (folder / file).write_text(text)
    return folder


def test_missing_engines_name_what_stands_in_for_them(kerma: Whole, visitor: Visitor) -> None:
    told = {e["name"]: e for e in visitor.http.get("/v1/engines").json()["items"]}
    assert told["geant4"]["workers"] == 1
    assert {name: e["substitute"] for name, e in told.items()} == {
        "geant4": None,
        "shieldhit": "geant4",
        "fluka": "geant4",
        "topas": "geant4",
    }
    done = run(kerma, "engines", "list")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("not installed") == 3
    assert done.stdout.count("editor projects run on geant4") == 3
    assert visitor.http.cookies
    anonymous = Visitor(kerma.running.url)
    assert anonymous.http.get("/v1/engines").status_code == 401
    anonymous.close()


def test_a_project_for_a_missing_engine_runs_on_geant4_which_is_named(
    kerma: Whole, visitor: Visitor
) -> None:
    given = {"sim_type": "shieldhit", "ntasks": 2, "input_type": "editor", "input_json": PROJECT}
    job = visitor.submit(given)
    shown = visitor.until(job, "COMPLETED")
    instead = "; geant4 runs it in place of shieldhit"
    assert shown["message"] == f"Job state: COMPLETED{instead}"
    (estimator,) = orjson.loads(visitor.results(job))["estimators"]
    assert estimator["name"] == "out0"
    assert estimator["metadata"]["engine"] == "geant4"
    assert estimator["metadata"]["engine_asked_for"] == "shieldhit"
    logs = visitor.get("/logfiles", job).json()["logfiles"]
    run_logs = [text for name, text in logs.items() if name.endswith("run.log")]
    assert len(run_logs) == 2
    assert all(" in place of shieldhit on worker " in text for text in run_logs)


def test_the_command_line_runs_projects_for_missing_engines(kerma: Whole) -> None:
    path = kerma.folder / "project.json"
    path.write_text(json.dumps(PROJECT))
    done = run(kerma, "run", str(path), "--engine", "topas", "--tasks", "2")
    assert done.returncode == 0, done.stderr
    assert "out0" in done.stdout


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "fluka",
            "No worker offers fluka now; offered: geant4. "
            "With wait_for_engine true the job waits for one.",
        ),
        ("penelope", "Unknown engine; must be one of: fluka, geant4, shieldhit, topas."),
    ],
)
def test_the_command_line_says_why_files_can_not_run(
    kerma: Whole, tmp_path: Path, name: str, reason: str
) -> None:
    files = input_files("fluka", tmp_path / "files")
    done = run(kerma, "run", str(files), "--engine", name)
    assert done.returncode == 1
    # the interface below /v1 calls it `engine`; the reason is told once
    assert done.stderr == f"kerma: Wrong data provided: engine: {reason} (HTTP 400)\n"


def test_a_job_waits_until_somebody_installs_its_engine(
    kerma: Whole, visitor: Visitor, tmp_path: Path
) -> None:
    files = dict(engine("topas").convert(PROJECT).files)
    given: dict[str, Any] = {"sim_type": "topas", "input_type": "files", "input_files": files}
    job = visitor.submit({**given, "ntasks": 3, "wait_for_engine": True})
    waiting = visitor.status(job)
    assert waiting["message"] == "Job state: PENDING; no worker offers topas now"
    assert kerma.program is not None
    kerma.program.process.send_signal(signal.SIGTERM)
    assert kerma.program.process.wait(90) == 0
    programs = install(tmp_path / "programs", seconds=0.1)
    catalogue = kerma.data / "engines.toml"
    catalogue.write_text("[topas]\npath = 5\n")
    refused = kerma.start()
    assert refused.process.wait(90) == 1
    assert refused.said == (
        f"kerma: {os.path.realpath(catalogue)}: topas.path: must be an absolute path in quotes, "
        'such as path = "/opt/shieldhit/bin/shieldhit"\n'
    )
    catalogue.write_text(f'[topas]\npath = "{programs / "topas"}"\n')
    kerma.up()
    later = kerma.visitor().enter()
    shown = later.until(job, "COMPLETED")
    assert shown["message"] == "Job state: COMPLETED"
    later.close()
