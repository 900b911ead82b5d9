"""Engines that fail, seen by the user of the whole system."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping

import orjson
import pytest

from kerma_common.contracts.ids import SEED_RULE, task_seed
from kerma_engines.adapter.packing import decode_inputs
from kerma_jobs.app.ports import Converted
from kit.events.chosen import DirectConverter, chosen_id, submit_chosen, told
from kit.programs.script_engine import script_input
from kit.running.apart import Apart
from kit.running.clients.visitor import Visitor

TASKS = 4
PRIMARIES = 1000
ATTEMPTS = 3


class Script(DirectConverter):
    """Returns the input set of the script engine for any submitted files."""

    def __init__(self, modes: Mapping[str, str]) -> None:
        self.modes = modes

    async def from_files(
        self, name: str, files: bytes, *, user: str, stands_in_for: str = ""
    ) -> Converted:
        inputs = script_input("mixed", json.dumps(self.modes))
        return Converted("script", decode_inputs(inputs).primaries, inputs, bins=1)


@pytest.fixture(scope="module")
def system(bare: Apart) -> Apart:
    """Jobs, runner, results and auth, with an engine that no release has."""
    for name in ("auth", "jobs", "runner", "batch", "gateway"):
        bare.start(name)
    bare.start_program("results", "script_results.py")
    # the hanging task waits for its limit; the others end at once
    limits = {"KERMA_WORKER_STALL_SECONDS": "1", "KERMA_WORKER_GRACE_SECONDS": "0.2"}
    bare.start_program("worker", "script_worker.py", "script", KERMA_WORKER_SLOTS="4", **limits)
    bare.ready()
    return bare


@pytest.fixture
def visitor(system: Apart) -> Iterator[Visitor]:
    visitor = system.visitor().enter()
    yield visitor
    visitor.close()


def submit(system: Apart, visitor: Visitor, number: int, *modes: str) -> str:
    """Submit a job whose tasks behave like ``modes``, in their order."""
    job = chosen_id(number)
    by_seed = {str(task_seed(job, index, SEED_RULE)): mode for index, mode in enumerate(modes)}
    body = {
        "sim_type": "script",
        "ntasks": len(modes),
        "input_type": "files",
        "input_files": {"deck": "x"},
        "title": "failing",
    }
    return submit_chosen(system.place, visitor.user_id, number, body, Script(by_seed))


def attempts(system: Apart, job: str) -> Counter[int]:
    """Return how often the engine of each task was started."""
    events = [t.event for t in told(system.place, job)]
    return Counter(e.data["index"] for e in events if e.type == "TaskStarted")


def test_a_job_with_a_failed_task_completes_with_the_others(
    system: Apart, visitor: Visitor
) -> None:
    job = submit(system, visitor, 1, "ok", "crash", "ok", "ok")
    shown = visitor.until(job, "COMPLETED")
    assert "750 of 1000 primaries" in shown["message"]
    states = [task["task_state"] for task in shown["job_tasks_status"]]
    assert states == ["COMPLETED", "FAILED", "COMPLETED", "COMPLETED"]
    (estimator,) = orjson.loads(visitor.results(job))["estimators"]
    assert estimator["metadata"]["primaries"] == "750"
    assert estimator["metadata"]["partial"] == "true"
    assert attempts(system, job) == {0: 1, 1: ATTEMPTS, 2: 1, 3: 1}
    files = visitor.get("/logfiles", job).json()["logfiles"]
    told_why = [name for name, text in files.items() if "the deck has no geometry" in text]
    assert told_why
    assert all("stderr" in name or name == min(files) for name in told_why)
    assert any(text == "mode crash\n" for text in files.values())


def test_a_job_without_a_good_task_fails_and_says_why(system: Apart, visitor: Visitor) -> None:
    job = submit(system, visitor, 2, "signal", "garbage", "empty", "hang")
    shown = visitor.until(job, "FAILED")
    assert shown["message"].startswith("Job failed: 4 of 4 tasks failed: ")
    assert [t["task_state"] for t in shown["job_tasks_status"]] == ["FAILED"] * TASKS
    assert attempts(system, job) == dict.fromkeys(range(TASKS), ATTEMPTS)
    failures = [t.event.data for t in told(system.place, job) if t.event.type == "TaskFailed"]
    codes = {failure["index"]: failure["code"] for failure in failures}
    assert codes == {0: "SIGNAL", 1: "BAD_OUTPUT", 2: "BAD_OUTPUT", 3: "STALLED"}
    assert Counter(failure["final"] for failure in failures) == {False: 8, True: 4}
    assert visitor.get("/results", job).status_code == 404
    files = visitor.get("/logfiles", job).json()["logfiles"]
    assert files[min(files)].startswith("The job failed: 4 of 4 tasks failed: ")
    assert {"mode signal\n", "mode garbage\n", "mode empty\n", "mode hang\n"} <= {*files.values()}
