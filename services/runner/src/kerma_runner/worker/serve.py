"""Runs a worker process: connect, register, work, leave."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import AsyncExitStack
from importlib import import_module
from typing import TYPE_CHECKING

from kerma_common import nats
from kerma_common.blobs.store import open_blobs
from kerma_common.contracts.rpc_runner import Registration
from kerma_common.settings import private_places
from kerma_runner.worker.agent import Agent
from kerma_runner.worker.attempt import AttemptContext
from kerma_runner.worker.confined.client import confined_engines
from kerma_runner.worker.files.scratch import worker_id, worker_scratch
from kerma_runner.worker.runner_client import RunnerClient
from kerma_sandbox.launcher import launcher
from kerma_sandbox.measure import measure
from kerma_sandbox.sandbox import Level

if TYPE_CHECKING:
    from kerma_common.settings import BlobSettings, NatsSettings
    from kerma_runner.worker.offers import Offers
    from kerma_runner.worker.settings import WorkerSettings
    from kerma_sandbox.sandbox import Sandbox

_log = logging.getLogger(__name__)


def find_sandbox(settings: WorkerSettings) -> Sandbox:
    """Find, test and log what confines engines here.

    Raises SandboxUnavailable if required and absent, or if engines could read Kerma's secrets.
    """
    settings.scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    private = (settings.scratch, *settings.private, *private_places())
    sandbox = measure(settings.scratch, mode=settings.sandbox, private=private)
    facts = {
        "sandbox": sandbox.level,
        "open": [*sandbox.open],
        "reasons": {str(level): reason for level, reason in sandbox.reasons.items()},
    }
    weak = sandbox.level is Level.NONE
    _log.log(logging.WARNING if weak else logging.INFO, "sandbox %s", sandbox.level, extra=facts)
    return sandbox


async def serve_worker(
    settings: WorkerSettings,
    bus: NatsSettings,
    blobs: BlobSettings,
    offers: Offers,
    sandbox: Sandbox,
) -> None:
    """Run a worker until SIGTERM or SIGINT. Raises GuardLost when its engines were killed."""
    name = worker_id()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    async with AsyncExitStack() as stack:
        found = stack.enter_context(worker_scratch(settings.scratch, name))
        # FastStream takes a third of a second to import: meanwhile the launcher starts and the bus
        # answers
        loading = asyncio.create_task(
            asyncio.to_thread(import_module, "kerma_common.bus.faststream")
        )
        started = await stack.enter_async_context(launcher(sandbox))
        confined = await stack.enter_async_context(
            confined_engines(offers.engines, settings, sandbox, found)
        )
        client = await stack.enter_async_context(
            nats.connection(bus.url.get_secret_value(), name=name, credentials=bus.credentials)
        )
        store = open_blobs(blobs)
        context = AttemptContext(settings, store, confined, offers.versions, started, found)
        offer = Registration(
            name,
            settings.resource_class,
            settings.slots,
            dict(offers.versions),
            dict(offers.digests),
            dict(offers.substitutes),
            sandbox.level,
        )
        broker = (await loading).EdgeBroker(client)
        await confined.ready()
        await Agent(name, broker, RunnerClient(broker), context, offer).run(stop)
