"""What a task costs: queueing, dispatch without an engine, and tiny tasks end to end."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable, Mapping
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerma_client.demo import PROJECT
from kerma_client.submission import submit_body
from kerma_common.bus.faststream import EdgeBroker
from kerma_common.contracts import rpc_runner as rpc
from kerma_common.contracts.refs import Ref
from kerma_common.nats import connection
from kerma_engines.catalogue.registry import engine
from kerma_runner.worker.runner_client import RunnerClient
from kerma_tools.bench.figure import Figure
from kerma_tools.bench.platform import Platform, platform, quantile
from kerma_tools.bench.run import limit
from kerma_tools.bench.whole.bare import bare_starts
from kerma_tools.bench.whole.clients.wire import direct, post
from kerma_tools.bench.whole.costs.cpu import cpu_by_part, idle_share, since, wait_until_calm
from kerma_tools.paths import ROOT

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

TASKS, JOBS, SLOTS = 1000, 5, 16
SUBMITTED = 30
ENGINES = 2
"""Tiny tasks that run at the same time."""
STARTS = 200
QUOTAS = {
    "KERMA_JOBS_QUOTAS": '{"default": {"active_jobs": 100000, "waiting_tasks": 10000000,'
    ' "submissions_per_minute": 100000}}'
}
UNLIKELY = "geant4"
"""An engine that no worker of these benches offers unless a bench does."""


def queueing() -> Iterable[Figure]:
    """Measure submissions with no worker: latency, and the CPU of everything that follows."""
    with platform(slots=0, settings=QUOTAS) as found:
        found.client.submit(_body(1))
        pid, idle = found.running.pid, idle_share(found.running.pid)
        for tasks, bar in ((1, 10.0), (100, 15.0), (1000, 25.0)):
            times = []
            body = _body(tasks)
            for _ in range(max(5, SUBMITTED if tasks < 1000 else SUBMITTED // 3)):
                times += post(found, "/jobs/direct", direct(body), 1)
                if tasks > 1:
                    wait_until_calm(pid, idle)
            yield limit(f"submit a job of {tasks} tasks, p50", quantile(times, 0.5), "ms", bar)
        wait_until_calm(pid, idle)
        before, began = cpu_by_part(pid), time.perf_counter()
        for _ in range(JOBS):
            found.client.submit(_body(TASKS))
            wait_until_calm(pid, idle)
        took = time.perf_counter() - began
        used = since(before, cpu_by_part(pid))
        name = f"CPU of submitting and queueing a job of {TASKS} tasks"
        total = 1e3 * (sum(used.values()) - idle * took) / JOBS
        yield limit(f"{name} ({_split(used, JOBS)})", total, "ms", 200.0)


def dispatching() -> Iterable[Figure]:
    """Measure a worker that claims, starts and reports, and runs no engine."""
    with platform(slots=0, settings=QUOTAS) as found:
        worker = asyncio.run(_without_engine(found))
        yield from worker


async def _without_engine(found: Platform) -> list[Figure]:
    pid, idle = found.running.pid, idle_share(found.running.pid)
    async with connection(found.nats_url, name="bench") as client:
        hollow = _Hollow(RunnerClient(EdgeBroker(client)))
        await hollow.register()
        await asyncio.to_thread(found.client.submit, _body(TASKS))
        await asyncio.to_thread(wait_until_calm, pid, idle)
        reads = await _counted(client, "$JS.API.STREAM.MSG.GET.RUNNER")
        before, own, began = cpu_by_part(pid), time.process_time(), time.perf_counter()
        await hollow.work(TASKS)
        took = time.perf_counter() - began
        own = time.process_time() - own
        used = since(before, cpu_by_part(pid))
    # Counted from the first claim: tickets were out, so queueing is not part of it.
    used["bench's worker"] = own
    total = 1e3 * (sum(used.values()) - idle * took) / TASKS
    name = f"dispatch of {TASKS} tasks on {SLOTS} slots without an engine"
    return [
        Figure(f"{name}, tasks per second", TASKS / took, "tasks/s", "bar", 300.0, 1.0),
        limit(f"{name}, CPU per task ({_split(used, TASKS)})", total, "ms", 3.0),
        limit(f"{name}, messages read from the log per task", next(reads) / TASKS, "reads", 0.5),
    ]


async def _counted(client: Client, subject: str) -> count[int]:
    """Count the messages on a subject from now on; ``next`` of what is returned is their number."""
    seen = count()

    async def see(_: Msg) -> None:
        next(seen)

    await client.subscribe(subject, cb=see)
    await client.flush()
    return seen


class _Hollow:
    """A worker without engines: it says of each task that it ran."""

    def __init__(self, runner: RunnerClient) -> None:
        self._runner = runner
        self._offer = rpc.Registration("hollow", "pool", SLOTS, {UNLIKELY: "1"})
        self._left = 0
        self._done = asyncio.Event()

    async def register(self) -> None:
        await self._runner.ask_until_answered(rpc.REGISTER, self._offer, rpc.Registered)

    async def work(self, tasks: int) -> None:
        """Run this many tasks, several at a time, as the worker's slots do."""
        self._left = tasks
        self._done.clear()
        async with asyncio.TaskGroup() as group:
            slots = [group.create_task(self._slot()) for _ in range(SLOTS)]
            await self._done.wait()
            for slot in slots:
                slot.cancel()

    async def _slot(self) -> None:
        while self._left > 0:
            taken = await self._runner.next_ticket(self._offer.lanes)
            if taken is None:
                continue
            ticket, message = taken
            request = rpc.ClaimRequest("hollow", ticket.job_id, ticket.index, ticket.attempt)
            reply = await self._runner.ask(rpc.CLAIM, request, rpc.ClaimReply)
            await self._runner.settle(message)
            if (granted := reply.granted) is None:
                continue
            success = rpc.Success(Ref("0" * 64, 1), None, granted.primaries, 0.0)
            report = rpc.Report("hollow", granted.held, success=success, started=True)
            await self._runner.ask_until_answered(rpc.REPORT, report, rpc.Verdict)
            self._left -= 1
            if not self._left:
                self._done.set()


def tiny() -> Iterable[Figure]:
    """Measure jobs whose engine ends at once, from POST to the results."""
    with tempfile.TemporaryDirectory(prefix="kerma-bench-engine-") as folder:
        program = quick_engine(Path(folder))
        catalogue = Path(folder) / "engines.toml"
        catalogue.write_text(f'[shieldhit]\npath = "{program}"\n')
        settings = {**QUOTAS, "KERMA_ENGINES_FILE": str(catalogue)}
        with platform(slots=ENGINES, settings=settings) as found:
            yield from _tiny(found, program)


def _tiny(found: Platform, program: Path) -> Iterable[Figure]:
    pid = found.running.pid
    _run(found, 10)
    idle = idle_share(pid)
    before, began = cpu_by_part(pid), time.perf_counter()
    _run(found, TASKS)
    took = time.perf_counter() - began
    used = since(before, cpu_by_part(pid))
    total = 1e3 * (sum(used.values()) - idle * took) / TASKS
    name = f"job of {TASKS} tasks whose engine ends at once"
    yield Figure(f"{name}, POST to COMPLETED", TASKS / took, "tasks/s", "bar", 300.0, 1.0)
    yield limit(f"{name}, CPU per task ({_split(used, TASKS)})", total, "ms", 10.0)
    starts = bare_starts(program, STARTS, ENGINES)
    bare = f"{name}, beside starts of that engine in the sandbox and nothing else"
    cpu = f"a start takes {1e3 * starts.cpu_seconds:.3g} ms of CPU, in no other figure"
    yield Figure(f"{bare} ({cpu})", TASKS / took, "tasks/s", "starts", starts.per_second, 0.3)


def _run(found: Platform, tasks: int) -> None:
    job = found.client.submit(_body(tasks, "shieldhit"))
    while not (status := found.client.status(job)).over:
        time.sleep(0.5)
    if status.state != "COMPLETED":
        raise RuntimeError(f"{status.state}: {status.message}")


def quick_engine(folder: Path) -> Path:
    """Make a program that stands in for SHIELD-HIT12A: it unpacks results that exist already."""
    folder.chmod(0o755)
    made = folder / "made"
    made.mkdir()
    inputs = engine("shieldhit").convert(_body(1, "shieldhit")["project"])
    command = engine("shieldhit").prepare(inputs, made, primaries=PRIMARIES, seed=1)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "KERMA_STANDIN_SECONDS": "0"}
    run = "import sys; from standins.shieldhit import main; sys.exit(main(sys.argv[1:]))"
    arguments = [sys.executable, "-c", run, *command.argv[1:]]
    subprocess.run(arguments, cwd=made, env=environment, check=True, stdout=subprocess.DEVNULL)
    kept = folder / "results.tar"
    with tarfile.open(kept, "w") as archive:
        for file in sorted(made.glob("*_0001.*")):
            archive.add(file, file.name)
    kept.chmod(0o644)
    program = folder / "shieldhit"
    # One process, which costs less than what is measured.
    program.write_text(
        "#!/bin/sh\n"
        "n=0000$2\n"
        f'exec tar -xmf "{kept}" --no-same-owner --transform "s/_0001[.]/_${{n#${{n%????}}}}./"\n'
    )
    program.chmod(0o755)
    return program


PRIMARIES = 100


def _body(tasks: int, name: str = UNLIKELY) -> Mapping[str, Any]:
    body = submit_body(PROJECT, tasks=tasks, primaries=PRIMARIES * tasks, engine=name)
    for zone in body["project"]["zoneManager"]["zones"]:
        zone.pop("materialPropertiesOverrides", None)  # SHIELD-HIT12A has others than Geant4
    return {**body, "wait_for_engine": True}


def _split(used: Mapping[str, float], times: int) -> str:
    shares = (f"{part} {1e3 * seconds / times:.3g}" for part, seconds in used.items())
    return ", ".join(shares)
