"""A job for a cluster from its submission to its results, run by hand as its operator would."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from kit.inputs.projects import demo_project
from kit.programs.family import PATIENCE, eventually
from kit.running.clients.browsers import as_operator, browser
from kit.running.clients.command_line import Ran, run
from kit.running.clients.script import Script, accepted, job_on_a_cluster
from kit.running.whole import Whole
from standins.behaviour import install

NAMES = [output["name"] for output in demo_project()["scoringManager"]["outputs"]]


def operator(kerma: Whole, *arguments: str) -> Ran:
    """Run a command of operators; return what it says."""
    with as_operator(kerma):
        ran = run("admin", *arguments)
    assert ran.code == 0, ran.stderr
    return ran


@pytest.fixture
def script(kerma: Whole, plgada: httpx.Client, clusters: list[str]) -> Iterator[Script]:
    """The script of a new job, with the key that an operator printed for it."""
    job = job_on_a_cluster(plgada, batch_options={"cluster_name": "default"})
    issued = operator(kerma, "update-key", job, "--json").json
    with browser(kerma) as http:
        yield Script(http, plgada, job, issued["simulation_id"], issued["update_key"])


def run_tasks(script: Script, folder: Path, programs: Path) -> list[Path]:
    """Run the command of each task in its folder, and report on it as scripts do."""
    about = json.loads((folder / "batch.json").read_text())
    assert (about["job_id"], about["simulation_id"]) == (script.job, script.number)
    path = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    for number, command in enumerate(about["commands"], start=1):
        at = "2026-01-02 03:04:05.678901"
        accepted(script.task(number, task_state="RUNNING", start_time=at, simulated_primaries=5))
        assert "RUNNING" in script.states()
        work = folder / f"task_{number:04d}"
        subprocess.run(command, cwd=work, env=path, check=True, capture_output=True, timeout=60)
        accepted(script.task(number, task_state="COMPLETED", end_time="2026-01-02 03:05:05.5"))
    return sorted(folder.glob("task_*/*.bdo"))


def posted(merged: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return merged results as scripts of YAPTIDE post them."""
    return [
        {
            "name": estimator["name"],
            "metadata": {"mc_code_version": "stand-in"},
            "pages": [as_page(number, page) for number, page in enumerate(estimator["pages"])],
        }
        for estimator in merged
    ]


def as_page(number: int, page: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "dimensions": len(page["axes"]),
        "data": {"name": page["name"], "unit": page["unit"], "values": page["values"]},
        "metadata": {"page_number": str(number), "name": page["name"], "unit": page["unit"]},
    }
    for place, axis in enumerate(page["axes"], start=1):
        edges = axis["edges"]
        centres = [(low + high) / 2 for low, high in pairwise(edges)]
        made[f"axis_dim{place}"] = {"name": axis["name"], "unit": axis["unit"], "values": centres}
    return made


def test_from_submission_to_results(kerma: Whole, script: Script, tmp_path: Path) -> None:
    folder = tmp_path / "input"
    operator(kerma, "batch-input", script.job, str(folder))
    files = run_tasks(script, folder, install(tmp_path / "bin", seconds=0.05))
    assert script.status()["job_state"] == "MERGING_QUEUED"
    accepted(script.report(job_dir=str(folder), array_id=11, collect_id=12))
    accepted(script.report(job_state="MERGING_RUNNING"))
    ran = run("engines", "merge", *map(str, files), "--json")
    assert ran.code == 0, ran.stderr
    told = posted(ran.json)
    # scripts post in the order of file names
    assert [one["name"] for one in told] == sorted(NAMES)
    assert script.get("/results").status_code == 404
    accepted(script.post("/logfiles", logfiles={"collect.log": "merged 2 tasks"}))
    accepted(script.results(told[::-1]))
    eventually(lambda: script.status()["job_state"] == "COMPLETED", PATIENCE, "the job's end")
    check_tasks(script)
    check_results(script, {one["name"]: one for one in told})
    logs = script.get("/logfiles").json()["logfiles"]
    assert any("merged 2 tasks" in text for text in logs.values())


def check_tasks(script: Script) -> None:
    for task in script.status("/jobs/batch")["job_tasks_status"]:
        assert task["task_state"] == "COMPLETED"
        assert task["simulated_primaries"] == task["requested_primaries"] == 10
        assert task["start_time"] == "Fri, 02 Jan 2026 03:04:05 GMT"
        assert task["end_time"] == "Fri, 02 Jan 2026 03:05:05 GMT"
    native = script.owner.get(f"/v1/jobs/{script.job}").json()
    assert (native["state"], native["primaries"]["simulated"]) == ("COMPLETED", 20)


def check_results(script: Script, told: dict[str, dict[str, Any]]) -> None:
    """Check that every page comes back with the values of the files, in the order of outputs."""
    listed = script.get("/estimators").json()["estimators_metadata"]
    assert [known["name"] for known in listed] == NAMES
    for place, known in enumerate(listed):
        given = told[known["name"]]["pages"]
        numbers = ",".join(str(page["page_number"]) for page in known["pages_metadata"])
        query = {"estimator_name": known["name"], "page_numbers": numbers}
        pages = script.get("/results", **query).json()["pages"]
        assert len(pages) == len(given) > 0
        for number, (page, sent) in enumerate(zip(pages, given, strict=True)):
            assert page["data"] == sent["data"]
            for axis in ("axis_dim1", "axis_dim2"):
                assert page.get(axis, {}).get("values") == sent.get(axis, {}).get("values")
            below = f"/v1/jobs/{script.job}/results/estimators/{place}/pages/{number}"
            assert script.owner.get(below).json()["data"]["values"] == sent["data"]["values"]
