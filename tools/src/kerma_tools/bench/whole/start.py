"""Measure how long Kerma takes to start, from nothing and again, and to stop."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from kerma_client.demo import PROJECT
from kerma_client.submission import submit_body
from kerma_tools.bench.figure import Figure
from kerma_tools.bench.platform import environment, platform
from kerma_tools.bench.run import limit
from kerma_tools.paths import ROOT

SETTLE_SECONDS = 5.0


def starts_and_stop() -> Iterable[Figure]:
    """Measure ``kerma up`` on new data, its stop with a task running, and a start on that data."""
    with tempfile.TemporaryDirectory(prefix="kerma-bench-") as folder:
        data = Path(folder)
        with platform(data=data) as found:
            yield limit("kerma up, ready, new data", found.start_seconds, "s", 3.5)
            found.client.submit(submit_body(PROJECT, tasks=1, primaries=2_000_000, engine="geant4"))
            time.sleep(SETTLE_SECONDS)
            yield limit("kerma up, stopped with a task running", found.stop(), "s", 10.0)
        with platform(data=data) as found:
            yield limit("kerma up, ready, existing data", found.start_seconds, "s", 2.5)


def fresh_clone() -> Figure:
    """Measure a new clone to its first completed demonstration, with a warm package cache."""
    with tempfile.TemporaryDirectory(prefix="kerma-clone-") as folder:
        clone = Path(folder) / "kerma"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)  # noqa: S607
        began = time.perf_counter()
        done = subprocess.run(
            ["./kerma", "demo", "--json", "--out", "out"],
            cwd=clone,
            env=environment(),
            stdout=subprocess.PIPE,
            check=True,
        )
        took = time.perf_counter() - began
    assert json.loads(done.stdout.splitlines()[-1])["job_state"] == "COMPLETED"
    return limit("fresh clone to the first completed demonstration", took, "s", 90.0)
