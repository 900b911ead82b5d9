"""The limit beside tiny tasks: starts of their engine in the sandbox, and nothing else."""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from kerma_engines.adapter.environment import readable_places
from kerma_sandbox.confinement import Confinement
from kerma_sandbox.launcher import Launcher, launcher
from kerma_sandbox.measure import measure


@dataclass(frozen=True, slots=True)
class Starts:
    """Starts per second, and CPU seconds of one: engine, keeper and namespaces."""

    per_second: float
    cpu_seconds: float


def bare_starts(program: Path, times: int, slots: int) -> Starts:
    """Start a program this many times in the strongest sandbox, ``slots`` at a time."""
    with tempfile.TemporaryDirectory(prefix="kerma-bench-") as made:
        folder = Path(made)
        folder.chmod(0o711)
        works = [folder / str(slot) for slot in range(slots)]
        for work in works:
            work.mkdir()
        return asyncio.run(_start(program, times, folder, works))


async def _start(program: Path, times: int, folder: Path, works: list[Path]) -> Starts:
    sandbox = await asyncio.to_thread(measure, folder)
    async with launcher(sandbox) as confined:
        began = time.perf_counter()
        shares = [(times + slot) // len(works) for slot in range(len(works))]
        slots = (_slot(confined, program, *one) for one in zip(works, shares, strict=True))
        spent = await asyncio.gather(*slots)
        took = time.perf_counter() - began
    return Starts(times / took, sum(spent) / times)


async def _slot(confined: Launcher, program: Path, work: Path, times: int) -> float:
    """Return the CPU seconds of the starts, one after another in one work folder."""
    confinement = Confinement(work, readable_places(str(program), {}, (), work))
    spent = 0.0
    for _ in range(times):
        process = await confined.spawn([str(program), "-N", "1"], env={}, confinement=confinement)
        ended = await process.wait()
        if ended.code:
            raise RuntimeError(f"{program}: {ended}: {await process.stderr.read()!r}")
        spent += ended.cpu_seconds + ended.overhead_seconds
    return spent
