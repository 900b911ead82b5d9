"""A real job: Geant4 tasks on a real worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from kerma_common.contracts import ids
from kerma_common.contracts.events import runner as ev
from kerma_engines.adapter.packing import encode_inputs, unpack_outputs
from kerma_engines.catalogue.registry import engine
from kit.inputs.projects import demo_project
from kit.programs.geant4 import GEOMETRY, MACRO
from kit.running.worlds import runner_service
from kit.running.worlds.runner_service import Running, eventually


async def test_geant4_tasks_run_and_a_canceled_one_stops(
    runner: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(runner_service, "WORKER", ("-m", "kerma_runner.worker"))
    worker = runner.start_worker(slots=2)
    inputs = engine("geant4").convert(demo_project(101))
    job = await runner.submit(encode_inputs(inputs), 2, primaries=101, engine="geant4")
    await runner.until(job, "SUCCEEDED", n=2)
    succeeded = [(await runner.story(job, n))[-1] for n in range(2)]
    assert all(isinstance(event, ev.TaskSucceeded) for event in succeeded)
    assert [event.primaries for event in succeeded] == [51, 50]
    specs = [(await runner.task(job, n)).spec for n in range(2)]
    seeds = [spec.seed for spec in specs if spec is not None]
    assert seeds == [ids.task_seed(job, n, ids.SEED_RULE) for n in range(2)]
    folder = tmp_path / "output"
    folder.mkdir()
    await runner.blobs.fetch(succeeded[0].output_ref, tmp_path / "output.tar")
    unpack_outputs(tmp_path / "output.tar", folder)
    estimators = engine("geant4").read(folder, inputs)
    assert {e.primaries for e in estimators} == {51}
    assert "geant4.log" in await runner.log_texts(succeeded[0].log_ref)

    long = await runner.submit(encode_inputs(inputs), primaries=10_000_000, engine="geant4")
    await runner.until(long, "RUNNING")
    assert worker.engines()
    stream = runner.infra.nats.jetstream()

    async def told() -> bool:
        info = await stream.stream_info("TELEMETRY", subjects_filter=f"tele.task.{long}.0")
        return bool(info.state.subjects)

    await eventually(told)
    await runner.cancel(long)
    await runner.until(long, "CANCELED")
    assert worker.engines() == []


async def test_an_input_that_geant4_refuses_is_not_tried_again(
    runner: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_service, "WORKER", ("-m", "kerma_runner.worker"))
    runner.start_worker(slots=1)
    macro = MACRO.replace("/gps/energy", "/run/setCutForRegion nosuch 1 mm\n/gps/energy", 1)
    inputs = engine("geant4").accept_files({"g.gdml": GEOMETRY, "run.mac": macro})
    job = await runner.submit(encode_inputs(inputs), primaries=10, engine="geant4")
    await runner.until(job, "FAILED")
    failed = (await runner.story(job))[-1]
    assert isinstance(failed, ev.TaskFailed)
    assert (failed.code, failed.attempt, failed.final) == ("INPUT_REFUSED", 1, True), failed.message
    assert "the engine refuses its input" in failed.message
    assert "nosuch" in failed.message
