"""``kerma demo``: start everything, run the bundled project, show its results."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerma_allinone.running import NotRunningError, read_running
from kerma_client import terminal
from kerma_client.api.models import JobStatus
from kerma_client.client import KermaClient
from kerma_client.console import PlainConsole
from kerma_client.errors import DemoError
from kerma_client.estimators import print_estimators, results_body
from kerma_client.follow import follow
from kerma_client.local import connect
from kerma_client.submission import submit_body
from kerma_engines.results.estimators import Axis, MergeClass, Page

PROJECT = Path(__file__).parent / "data" / "demo-project.json"
STOP_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The JSON line that ``kerma demo --json`` ends with."""

    job_id: str
    job_state: str
    tasks: int
    primaries: int
    r80_cm: float
    r80_stderr_cm: float
    seconds_total: float
    seconds_setup: float


def run_demo(
    *, primaries: int, tasks: int, port: int, data: Path | None, out: Path, as_json: bool
) -> None:
    """Run the bundled project from end to end. Raises DemoError."""
    began = time.monotonic()
    console = terminal.console()
    out.mkdir(parents=True, exist_ok=True)
    with _data_directory(data) as directory, _platform(directory, port):
        setup = time.monotonic() - began
        console.print(f"Kerma is up after {setup:.1f} s at {read_running(directory).url}")
        with connect(directory) as client:
            status = _run_job(client, primaries, tasks, console)
            body = results_body(client.results(status.id))
        range_, error = _present(body, out, console)
        outcome = Outcome(
            job_id=status.id,
            job_state=status.state,
            tasks=len(status.tasks),
            primaries=status.simulated,
            r80_cm=range_,
            r80_stderr_cm=error,
            seconds_total=round(time.monotonic() - began, 2),
            seconds_setup=round(setup, 2),
        )
    if as_json:
        values = {name: getattr(outcome, name) for name in Outcome.__slots__}
        terminal.put_json(json.dumps(values))


def _run_job(client: KermaClient, primaries: int, tasks: int, console: PlainConsole) -> JobStatus:
    body = submit_body(PROJECT, tasks=tasks, primaries=primaries, engine="geant4")
    job_id = client.submit({**body, "title": "150 MeV protons in water"})
    console.print(f"job {job_id}: {primaries} protons in {tasks} tasks", soft_wrap=True)
    status = follow(client.follow(job_id), console)
    if status.state != "COMPLETED":
        logs = "\n".join(f"{name}:\n{text}" for name, text in client.logs(job_id).items())
        raise DemoError(f"the job ended {status.state}: {status.message}\n{logs}")
    return status


def _present(body: dict[str, Any], out: Path, console: PlainConsole) -> tuple[float, float]:
    """Print tables and draw pictures; return the range R80 in cm and its standard error."""
    from kerma_client.plots import draw_page
    from kerma_engines.results.ranges import PSTAR_SOURCE, csda_range_in_water, distal_range

    (out / "results.json").write_text(json.dumps(body))
    print_estimators(body, console)
    depth = body["estimators"][0]["pages"][0]
    found = distal_range(_page(depth))
    range_, error = found.cm, found.stderr_cm or 0.0
    csda = csda_range_in_water(150.0)
    console.print(
        f"R80 = {range_:.3f} ± {error:.3f} cm; CSDA range of 150 MeV protons in water "
        f"{csda:.3f} cm ({PSTAR_SOURCE})"
    )
    note = f"R80 = {range_:.3f} ± {error:.3f} cm"
    draw_page(depth, out / "depth-dose.png", "Depth dose of 150 MeV protons in water", note)
    map_ = next(p for e in body["estimators"] for p in e["pages"] if p["dimensions"] == 2)
    draw_page(map_, out / "lateral.png", "Dose map of 150 MeV protons in water")
    console.print(f"wrote results.json, depth-dose.png and lateral.png to {out}")
    return range_, error


def _page(shown: dict[str, Any]) -> Page:
    """Return a curve of GET /results as a page of the engines' library."""
    axis, data = shown["axis_dim1"], shown["data"]
    edges = np.array(axis["edges"], dtype=np.float64)
    return Page(
        number=int(shown["metadata"]["page_number"]),
        name=data["name"],
        unit=data["unit"],
        merge=MergeClass.PER_PRIMARY,
        axes=(Axis(axis["name"], axis["unit"], edges),),
        values=np.array(data["values"], dtype=np.float64),
        errors=np.array(data["errors"], dtype=np.float64),
    )


@contextmanager
def _data_directory(data: Path | None) -> Iterator[Path]:
    if data is not None:
        yield data
        return
    directory = Path(tempfile.mkdtemp(prefix="kerma-demo-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _platform(directory: Path, port: int) -> Iterator[None]:
    """Run ``kerma up`` as a child process for the duration of the block."""
    command = [sys.executable, "-m", "kerma_client.cli", "up", "--data", str(directory)]
    child = subprocess.Popen(
        [*command, "--port", str(port)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        _await_ready(child, directory)
        yield
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()


def _await_ready(child: subprocess.Popen[str], directory: Path) -> None:
    """Wait until the child is ready. Raises DemoError with its output when it ends before."""
    assert child.stdout is not None
    said = []
    for line in child.stdout:
        said.append(line)
        try:
            running = read_running(directory)
        except NotRunningError:
            continue
        if running.pid == child.pid:
            return
    child.wait()
    raise DemoError("Kerma did not start:\n" + "".join(said))
