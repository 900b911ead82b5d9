"""All engines through the platform, with stand-ins for the licensed programs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import psutil
import pytest

from engine_inputs import editor_project
from kerma_common.contracts.ids import SEED_RULE, split_primaries, task_seed
from kerma_engines.adapter.outputs import plain_names
from kerma_engines.adapter.port import InputSet
from kerma_engines.catalogue.catalogue import Catalogue, load_catalogue
from kerma_engines.catalogue.registry import engine
from kerma_engines.results.estimators import Estimator
from kerma_engines.results.merge import MergeState
from kerma_results.app.logs import REASON
from kit.inputs.editor import box, mesh, project, zone
from kit.programs.family import engines_in, eventually
from kit.running.clients.visitor import Visitor
from kit.running.whole import Whole, whole
from standins.behaviour import Mode, install

PROGRAMS = {"shieldhit": "shieldhit", "fluka": "rfluka", "topas": "topas"}
PRIMARIES, TASKS = 1003, 4
PROJECT = project(
    {"a": box((6, 6, 6))},
    [zone("water", "a")],
    detectors=[mesh((2, 2, 4), (2, 3, 4)), mesh((1, 1, 4), (1, 1, 8))],
    quantities=[{"keyword": "Dose"}, {"keyword": "Fluence"}],
    numberOfParticles=PRIMARIES,
)
each_engine = pytest.mark.parametrize("name", sorted(PROGRAMS))


class Licensed:
    """A running Kerma whose worker has the stand-ins, and the control of their behaviour."""

    def __init__(self, kerma: Whole, visitor: Visitor) -> None:
        self.kerma = kerma
        self.visitor = visitor

    @property
    def programs(self) -> Path:
        return self.kerma.folder / "programs"

    @property
    def catalogue(self) -> Catalogue:
        return load_catalogue(self.kerma.data / "engines.toml")

    def behave(self, mode: Mode = Mode.OK, seconds: float = 0.1) -> None:
        """Set the behaviour of every stand-in that starts from now on."""
        install(self.programs, mode, seconds)

    def engine_processes(self) -> list[psutil.Process]:
        return engines_in(self.kerma.data / "scratch")


def write_catalogue(folder: Path, data: Path) -> None:
    tables = [f'[{name}]\npath = "{folder / file}"\n' for name, file in PROGRAMS.items()]
    data.mkdir(mode=0o711, exist_ok=True)
    (data / "engines.toml").write_text("\n".join(tables))


@pytest.fixture(scope="module")
def licensed() -> Iterator[Licensed]:
    with whole() as kerma:
        install(kerma.folder / "programs", seconds=0.1)
        write_catalogue(kerma.folder / "programs", kerma.data)
        kerma.up()
        visitor = kerma.visitor().enter()
        yield Licensed(kerma, visitor)
        visitor.close()
        assert kerma.program is not None
        kerma.program.process.terminate()
        assert kerma.program.process.wait(90) == 0


def inputs_of(name: str, kind: str) -> InputSet:
    converted = engine(name).convert(PROJECT)
    if kind == "editor":
        return converted
    return plain_names(engine(name).accept_files(converted.files))


def body(name: str, kind: str = "editor", tasks: int = TASKS) -> dict[str, Any]:
    given: Mapping[str, Any] = {"input_type": "editor", "input_json": PROJECT}
    if kind == "files":
        files = dict(engine(name).convert(PROJECT).files)
        given = {"input_type": "files", "input_files": files}
    return {"sim_type": name, "ntasks": tasks, **given}


def by_hand(catalogue: Catalogue, inputs: InputSet, job: str, folder: Path) -> list[Estimator]:
    """Run the tasks of a job one after the other, read and merge them with the library."""
    code = catalogue.engines()[inputs.engine]
    states = []
    for index, primaries in enumerate(split_primaries(PRIMARIES, TASKS)):
        work = folder / str(index)
        work.mkdir()
        seed = task_seed(job, index, SEED_RULE)
        command = code.prepare(inputs, work, primaries=primaries, seed=seed)
        env = {**os.environ, **command.env}
        subprocess.run(command.argv, cwd=work, env=env, stdout=subprocess.DEVNULL, check=True)
        states.append(MergeState.of(code.read(work, inputs), primaries))
    return list(MergeState.fold(states).result())


def test_the_platform_tells_what_its_worker_has(licensed: Licensed) -> None:
    told = licensed.visitor.http.get("/v1/engines").json()["items"]
    assert [e["name"] for e in told] == ["geant4", "shieldhit", "fluka", "topas"]
    known = {offer.name: offer for offer in licensed.catalogue.offers()}
    for found in told:
        (installed,) = found["installations"]
        assert installed["digest"] == known[found["name"]].digest
        assert installed["version"] == known[found["name"]].version
        assert installed["workers"] == found["workers"] == 1
        assert found["substitute"] is None


@each_engine
@pytest.mark.parametrize("kind", ["editor", "files"])
def test_results_are_those_of_the_tasks_merged(
    licensed: Licensed, name: str, kind: str, tmp_path: Path
) -> None:
    licensed.behave()
    job = licensed.visitor.submit(body(name, kind))
    shown = licensed.visitor.until(job, "COMPLETED")
    requested = [task["requested_primaries"] for task in shown["job_tasks_status"]]
    assert requested == [251, 251, 251, 250]
    simulated = [task["simulated_primaries"] for task in shown["job_tasks_status"]]
    assert simulated == requested
    inputs = inputs_of(name, kind)
    expected = {e.name: e for e in by_hand(licensed.catalogue, inputs, job, tmp_path)}
    told = orjson.loads(licensed.visitor.results(job))["estimators"]
    assert [e["name"] for e in told] == [output.name for output in inputs.outputs]
    if kind == "editor":
        assert [e["name"] for e in told] == ["out0", "out1"]
    for estimator in told:
        assert estimator["metadata"]["engine"] == name
        assert estimator["metadata"]["primaries"] == str(PRIMARIES)
        pages = expected[estimator["name"]].pages
        assert len(estimator["pages"]) == len(pages)
        for shown_page, page in zip(estimator["pages"], pages, strict=True):
            data = shown_page["data"]
            assert np.array_equal(data["values"], page.values.ravel(order="F"))
            assert page.errors is not None
            assert np.array_equal(data["errors"], page.errors.ravel(order="F"))


@pytest.mark.parametrize("tasks", [1, 3])
def test_averages_of_two_scorers_come_through_the_platform(licensed: Licensed, tasks: int) -> None:
    licensed.behave()
    given = editor_project("ex1")
    submitted = {"sim_type": "topas", "ntasks": tasks, "input_type": "editor", "input_json": given}
    job = licensed.visitor.submit(submitted)
    licensed.visitor.until(job, "COMPLETED")
    told = {e["name"]: e for e in orjson.loads(licensed.visitor.results(job))["estimators"]}
    for name in ("entrance", "peak"):
        dose, energy, *_, dose_let, track_let, spectrum = told[name]["pages"]
        assert energy["data"]["unit"] == "MeV"
        # the stand-in's scorers: 0.1 MeV/mm2 over 0.001 /mm2
        assert energy["data"]["values"] == pytest.approx([100], rel=0.2)
        lets = [page["data"]["values"][0] for page in (dose_let, track_let)]
        assert lets == pytest.approx([5, 5], rel=0.2)
        assert len(spectrum["data"]["values"]) == 640
        assert dose["data"]["errors"][0] > 0
        (error,) = energy["data"]["errors"]
        assert error > 0 if tasks > 1 else error is None


@each_engine
def test_progress_is_shown_while_an_engine_runs(licensed: Licensed, name: str) -> None:
    licensed.behave(seconds=3.0)
    job = licensed.visitor.submit(body(name, tasks=1))

    def under_way() -> dict[str, Any] | None:
        (task,) = licensed.visitor.status(job)["job_tasks_status"]
        partly = 0 < task["simulated_primaries"] < PRIMARIES
        return task if partly and "estimated_time" in task else None

    task = eventually(under_way, 30, f"progress of {name}")
    assert task["task_state"] == "RUNNING"
    assert set(task["estimated_time"]) == {"hours", "minutes", "seconds"}
    licensed.visitor.until(job, "COMPLETED")


def test_an_engine_that_does_not_say_that_it_has_finished_has(licensed: Licensed) -> None:
    licensed.behave(Mode.NO_MARKER)
    jobs = [licensed.visitor.submit(body(name)) for name in PROGRAMS]
    for job in jobs:
        licensed.visitor.until(job, "COMPLETED")


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        (Mode.CRASH, ("killed by SIGSEGV", "exit code")),
        (Mode.GARBAGE, ("the results cannot be read",)),
        (Mode.PARTIAL, ("the results cannot be read",)),
    ],
    ids=["crash", "garbage", "partial"],
)
def test_engines_that_fail_fail_their_jobs_with_a_reason(
    licensed: Licensed, mode: Mode, reason: tuple[str, ...]
) -> None:
    licensed.behave(mode)
    jobs = {name: licensed.visitor.submit(body(name, tasks=1)) for name in PROGRAMS}
    for name, job in jobs.items():
        shown = licensed.visitor.until(job, "FAILED")
        assert any(words in shown["message"] for words in reason), (name, shown["message"])
        logs = licensed.visitor.get("/logfiles", job).json()["logfiles"]
        # attempts that failed alike are told once, with the logs of the latest
        first, *_ = logs
        assert first == REASON
        assert "\n3 attempts of task 0: " in logs[first]
        assert any(words in logs[first] for words in reason), (name, logs[first])
        (run,) = (text for log, text in logs.items() if log.endswith("-attempt-3-run.log"))
        assert run.startswith(f"engine {name} ")
        assert len([log for log in logs if log.endswith("run.log")]) == 1
        assert licensed.visitor.get("/results", job).status_code == 404
    assert licensed.engine_processes() == []


@pytest.mark.parametrize("mode", [Mode.SLOW, Mode.IGNORES_SIGTERM], ids=["slow", "stubborn"])
def test_nothing_is_left_of_canceled_engines(licensed: Licensed, mode: Mode) -> None:
    # an engine of an earlier job would be taken for one of this job
    assert licensed.engine_processes() == []
    licensed.behave(mode, seconds=100.0)
    # rfluka starts a child
    job = licensed.visitor.submit(body("fluka", tasks=1))
    eventually(lambda: len(licensed.engine_processes()) >= 2, 30, "rfluka and its child")
    ran = {p.pid for p in licensed.engine_processes()}
    assert licensed.visitor.http.delete("/jobs/direct", params={"job_id": job}).status_code == 200
    eventually(lambda: not any(map(psutil.pid_exists, ran)), 30, "no engine")
    assert licensed.engine_processes() == []
    shown = licensed.visitor.until(job, "CANCELED")
    assert [task["task_state"] for task in shown["job_tasks_status"]] == ["CANCELED"]
