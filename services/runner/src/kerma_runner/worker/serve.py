"""A worker process from its settings: connect, register, work, leave."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from kerma_common import nats
from kerma_common.blobs.store import open_blobs
from kerma_common.contracts.rpc_runner import Registration
from kerma_runner.worker.agent import Agent
from kerma_runner.worker.attempt import Bench
from kerma_runner.worker.engine_process import launcher
from kerma_runner.worker.runner_client import RunnerClient
from kerma_runner.worker.scratch import worker_id, worker_scratch

if TYPE_CHECKING:
    from kerma_common.settings import BlobSettings, NatsSettings
    from kerma_runner.worker.offers import Offers
    from kerma_runner.worker.settings import WorkerSettings


async def serve_worker(
    settings: WorkerSettings,
    bus: NatsSettings,
    blobs: BlobSettings,
    offers: Offers,
) -> None:
    """Run a worker until SIGTERM or SIGINT. Raises GuardLost when its engines were killed."""
    name = worker_id()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    async with AsyncExitStack() as stack:
        found = stack.enter_context(worker_scratch(settings.scratch, name))
        started = await stack.enter_async_context(launcher())
        client = await stack.enter_async_context(
            nats.connection(bus.url.get_secret_value(), name=name, credentials=bus.credentials)
        )
        store = open_blobs(blobs)
        bench = Bench(settings, store, offers.engines, offers.versions, started, found)
        offer = Registration(
            name,
            settings.resource_class,
            settings.slots,
            dict(offers.versions),
            dict(offers.digests),
            dict(offers.substitutes),
        )
        await Agent(name, client, RunnerClient(client), bench, offer).run(stop)
