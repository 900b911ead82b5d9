"""``python -m kerma_runner.worker``: a worker with the engines of its machine."""

from __future__ import annotations

import sys

import uvloop

from kerma_common.garbage import collect_less
from kerma_common.settings import BlobSettings, NatsSettings, TelemetrySettings, load
from kerma_common.telemetry.logs import configure_logs
from kerma_common.telemetry.traces import configure_traces
from kerma_runner.worker.offers import EnginesSettings, find_offers
from kerma_runner.worker.serve import find_sandbox, serve_worker
from kerma_runner.worker.settings import WorkerSettings


def main() -> None:
    """Run until stopped.

    Raises CatalogueError, SandboxUnavailable or SettingsError with a message for the operator.
    """
    telemetry = load(TelemetrySettings)
    configure_logs("worker", telemetry.log_level, sys.stderr)
    settings = (load(WorkerSettings), load(NatsSettings), load(BlobSettings))
    sandbox = find_sandbox(settings[0])
    offers = find_offers(load(EnginesSettings), sandbox)
    shutdown_traces = configure_traces("worker", telemetry.otlp_endpoint)
    collect_less()
    try:
        uvloop.run(serve_worker(*settings, offers, sandbox))
    finally:
        shutdown_traces()


if __name__ == "__main__":
    main()
