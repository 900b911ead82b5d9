"""Measure how long Kerma takes to start, from nothing and again, and to stop."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path

from kerma_allinone.children import nats_server, postgres_server
from kerma_client.demo import PROJECT
from kerma_client.submission import submit_body
from kerma_tools.bench.figure import Figure
from kerma_tools.bench.platform import environment, platform
from kerma_tools.bench.run import limit
from kerma_tools.bench.whole.costs.cpu import cpu_by_part
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
            used = cpu_by_part(found.running.pid)
            yield limit("kerma up, ready, existing data", found.start_seconds, "s", 2.5)
        parts = ", ".join(f"{part} {seconds:.2g}" for part, seconds in used.items() if seconds)
        bare = asyncio.run(_bare(data))
        yield Figure(
            f"kerma up, ready, existing data, with {sum(used.values()):.2g} s of CPU ({parts})",
            found.start_seconds,
            "s",
            "its NATS and PostgreSQL alone, while another process imports what it imports",
            bare,
            2.0,
            lower_is_better=True,
        )


async def _bare(data: Path) -> float:
    """Return the seconds until the servers answer and all modules of the services are imported."""
    modules = ("kerma_client.cli", "kerma_allinone.starting", "kerma_allinone.up")
    load = "[part.load() for part in kerma_allinone.up.SERVICES.values()]"
    began = time.perf_counter()
    imports = await asyncio.create_subprocess_exec(
        sys.executable, "-c", f"import {', '.join(modules)}; {load}", env=environment()
    )
    async with AsyncExitStack() as stack:
        servers = (nats_server(data / "nats"), postgres_server(data / "postgres"))
        await asyncio.gather(*map(stack.enter_async_context, servers), imports.wait())
        return time.perf_counter() - began


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
