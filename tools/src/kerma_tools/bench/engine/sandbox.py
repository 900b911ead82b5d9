"""The cost of the sandbox: Geant4's pace and an engine's start, in turns with unconfined runs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from kerma_engines.adapter.environment import engine_environment, readable_places
from kerma_engines.adapter.port import Command
from kerma_engines.geant4.engine import Geant4
from kerma_sandbox.confinement import Confinement, Exit
from kerma_sandbox.launcher import Launcher, launcher
from kerma_sandbox.measure import measure
from kerma_tools.bench.engine.scorers import built_in_project
from kerma_tools.bench.figure import Figure
from kerma_tools.bench.run import limit

PRIMARIES = 3000
ROUNDS = 5
STARTS = 30
_START = (sys.executable, "-I", "-c", "pass")


def sandbox_figures() -> tuple[Figure, ...]:
    """Measure with the strongest sandbox of this machine, through the worker's launcher."""
    return asyncio.run(_figures())


async def _figures() -> tuple[Figure, ...]:
    with TemporaryDirectory(prefix="kerma-bench-") as made:
        folder = Path(made)
        sandbox = await asyncio.to_thread(measure, folder)
        async with launcher(sandbox) as confined:
            level = confined.sandbox.level
            pace = await _pace(confined, folder)
            started = await _starts(confined, folder)
    return (
        Figure(
            f"Geant4 in the sandbox ({level})",
            pace[0],
            "primaries/s of a processor",
            "free",
            pace[1],
            0.97,
        ),
        limit(f"start of a program in the sandbox ({level}), more than free", started, "ms", 50),
    )


async def _pace(confined: Launcher, folder: Path) -> tuple[float, float]:
    """Return primaries per processor second, confined and unconfined, of the best rounds."""
    geant4 = Geant4()
    inputs = geant4.convert(built_in_project(PRIMARIES))
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for number in range(ROUNDS):
        for walled, spent in seconds.items():
            work = folder / f"{number}-{walled}"
            work.mkdir()
            command = geant4.prepare(inputs, work, primaries=PRIMARIES, seed=1)
            env = engine_environment(os.environ, work, command.env)
            if walled:
                ended = await _confined(confined, command, work, env)
                # other processes' load does not count; the keeper's does
                spent.append(ended.cpu_seconds + ended.overhead_seconds)
            else:
                before = os.times()
                await asyncio.to_thread(_free, command.argv, work, env)
                after = os.times()
                spent.append(after.children_user - before.children_user)
                spent[-1] += after.children_system - before.children_system
    return PRIMARIES / min(seconds[True]), PRIMARIES / min(seconds[False])


async def _starts(confined: Launcher, folder: Path) -> float:
    """Return how many more milliseconds a confined start takes from call to end, by medians."""
    walled, free = [], []
    for _ in range(STARTS):
        began = time.perf_counter()
        await _confined(confined, Command(_START), folder, {})
        between = time.perf_counter()
        await asyncio.to_thread(_free, _START, folder, {})
        walled.append(between - began)
        free.append(time.perf_counter() - between)
    return 1000 * (median(walled) - median(free))


async def _confined(confined: Launcher, command: Command, work: Path, env: dict[str, str]) -> Exit:
    readable = readable_places(command.argv[0], env, command.readable, work)
    process = await confined.spawn(command.argv, env=env, confinement=Confinement(work, readable))
    ended, _, errors = await asyncio.gather(
        process.wait(), process.stdout.read(), process.stderr.read()
    )
    if ended.code:
        raise RuntimeError(f"{command.argv}: {ended}: {errors.decode(errors='replace')}")
    return ended


def _free(argv: Sequence[str], work: Path, env: dict[str, str]) -> None:
    subprocess.run(argv, cwd=work, env=env, check=True, capture_output=True)
