"""What pages poll: states, lists and pages of results, beside a request that reads a name."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any

from kerma_client.demo import PROJECT
from kerma_client.submission import submit_body
from kerma_tools.bench.figure import Figure
from kerma_tools.bench.platform import Platform, platform, quantile
from kerma_tools.bench.whole.clients.listing import fill
from kerma_tools.bench.whole.clients.wire import flood, get, get_in_turns

LITTLE = "/auth/status"
"""A request that checks the token and reads the name of the user, nothing else."""
WARM, TURNS, READ = 50, 5, 100
CLIENTS, EACH = 32, 200
JOBS = (10, 1000, 10_000)
SLICES = 20
"""Bins across the demo's map that make it three-dimensional: 120 000 bins."""


def polling() -> Iterable[Figure]:
    """Measure status, list and pages: p50 of one client, and 32 clients at once."""
    with platform(slots=0) as found:
        for tasks, bar in ((10, 1.2), (100, 1.5), (1000, 4.0)):
            yield _beside_little(found, f"status of {tasks} tasks", _status(found, tasks), bar)
        yield from _many(found)
    with platform(slots=0) as found:
        there = 0
        for jobs in JOBS:
            fill(found, there, jobs)
            there = jobs
            path = "/user/simulations?page_size=10&page_idx=1"
            yield _beside_little(found, f"list of a user with {jobs} jobs", path, 1.5)
    with platform(slots=1) as found:
        job = _results(found)
        for name, bar in (("depth_dose", 1.5), ("dose_map", 5.0), ("dose_cube", 30.0)):
            path = f"/results?job_id={job}&estimator_name={name}&page_number=0"
            yield _beside_little(found, f"page of {name}", path, bar)


def _status(found: Platform, tasks: int) -> str:
    body = submit_body(PROJECT, tasks=tasks, primaries=max(tasks, 1000), engine="geant4")
    return f"/jobs?job_id={found.client.submit({**body, 'wait_for_engine': True})}"


def _beside_little(found: Platform, name: str, path: str, bar: float) -> Figure:
    """Return the p50 of a path; the bar is in milliseconds, whatever the other request takes."""
    get(found, path, WARM)
    times, bare = get_in_turns(found, (path, LITTLE), TURNS, READ)
    value, little = quantile(times, 0.5), quantile(bare, 0.5)
    peer = f"bar {bar:g} ms; a request that reads a name takes {little:.2g} ms"
    return Figure(f"{name}, p50", value, "ms", peer, bar, 1.0, lower_is_better=True)


def _many(found: Platform) -> Iterable[Figure]:
    path = _status(found, 10)
    flood(found, path, CLIENTS, WARM)
    bare, _ = flood(found, LITTLE, CLIENTS, EACH)
    rate, times = flood(found, path, CLIENTS, EACH)
    name = f"status of 10 tasks, {CLIENTS} clients"
    peer = f"bar; requests that read a name: {bare:.0f}/s"
    yield Figure(f"{name}, answers per second", rate, "/s", peer, 1500.0, 1.0)
    late = quantile(times, 0.99)
    yield Figure(f"{name}, p99", late, "ms", "bar", 60.0, 1.0, lower_is_better=True)


def _results(found: Platform) -> str:
    """Run a job with results of one, two and three dimensions; return its id."""
    body = submit_body(PROJECT, tasks=1, primaries=1000, engine="geant4")
    project: dict[str, Any] = json.loads(json.dumps(body["project"]))
    detectors, outputs = project["detectorManager"]["detectors"], project["scoringManager"]
    cube = json.loads(json.dumps(detectors[1]))
    cube.update(uuid="cube", name="Cube")
    # wider than the map: coincident surfaces would share the dose
    cube["geometryData"]["parameters"].update(width=6.5, height=6.5, xSegments=SLICES)
    detectors.append(cube)
    scored = json.loads(json.dumps(outputs["outputs"][1]))
    scored.update(uuid="cube", name="dose_cube", detectorUuid="cube")
    outputs["outputs"].append(scored)
    job = found.client.submit({**body, "project": project})
    while not (status := found.client.status(job)).over:
        time.sleep(0.2)
    if status.state != "COMPLETED":
        raise RuntimeError(f"{status.state}: {status.message}")
    return job
