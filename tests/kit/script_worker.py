"""A worker process with the script engine; settings from the environment."""

import asyncio

from kerma_common.settings import BlobSettings, NatsSettings, load
from kerma_runner.worker.serve import serve_worker
from kerma_runner.worker.settings import WorkerSettings
from kit.script_engine import ScriptEngine

if __name__ == "__main__":
    asyncio.run(
        serve_worker(
            load(WorkerSettings),
            load(NatsSettings),
            load(BlobSettings),
            {"script": ScriptEngine()},
            {"script": "1"},
        )
    )
