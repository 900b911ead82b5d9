"""The nursery of conversions."""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import orjson

from kerma_common.settings import private_places
from kerma_jobs.adapters.conversion.limits import ConversionLimits
from kerma_sandbox.confinement import Confinement, Limits
from kerma_sandbox.forks.children import Children, Start
from kerma_sandbox.measure import Mode, measure

NURSERY = (sys.executable, "-m", "kerma_jobs.adapters.conversion.nursery")
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"}
LIMITS = Limits(memory=None, processes=64, open_files=256, file_size=1 << 20)
"""Limits of the nursery with all its conversions; each conversion has narrower ones."""
NICE = 4
"""Niceness of conversions: below the service, above engines."""

logger = logging.getLogger(__name__)


async def run_nursery(
    children: Children, geant4_data: Mapping[str, str], limits: ConversionLimits, mode: Mode
) -> None:
    """Keep a nursery for ``children`` alive until cancelled.

    Raises SandboxUnavailable where a sandbox is required, or where it would show secrets.
    """
    settings = {
        "geant4_data": dict(geant4_data),
        "cpu_seconds": limits.cpu_seconds,
        "memory": limits.memory,
    }
    argv = [*NURSERY, orjson.dumps(settings).decode()]
    with tempfile.TemporaryDirectory(prefix="kerma-convert-") as folder:
        work = Path(folder)
        private = private_places()
        sandbox = await asyncio.to_thread(measure, work, mode=mode, private=private)
        logger.info("conversions are confined by %s", sandbox.level)
        confinement = Confinement(work, confines=True, limits=LIMITS, nice=NICE)
        await children.run(sandbox, Start(argv, ENVIRONMENT, confinement))
