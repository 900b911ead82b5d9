"""A worker process with the script engine, under other names if arguments give some."""

import asyncio
import sys

from kerma_common.settings import BlobSettings, NatsSettings, load
from kerma_runner.worker.offers import Offers
from kerma_runner.worker.serve import find_sandbox, serve_worker
from kerma_runner.worker.settings import WorkerSettings
from kit.programs.script_engine import ScriptEngine

if __name__ == "__main__":
    names = sys.argv[1:] or ["script"]
    settings = load(WorkerSettings)
    asyncio.run(
        serve_worker(
            settings,
            load(NatsSettings),
            load(BlobSettings),
            Offers({name: ScriptEngine(name) for name in names}, dict.fromkeys(names, "1")),
            find_sandbox(settings),
        )
    )
