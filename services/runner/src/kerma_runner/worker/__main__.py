"""``python -m kerma_runner.worker``: a worker with the engines that are installed here."""

from __future__ import annotations

import asyncio
from importlib.metadata import PackageNotFoundError, version

from kerma_common.settings import BlobSettings, NatsSettings, load
from kerma_engines.catalogue import Catalogue
from kerma_runner.worker.serve import serve_worker
from kerma_runner.worker.settings import WorkerSettings


def _release() -> str:
    try:
        return version("kerma")
    except PackageNotFoundError:
        return "source"


def main() -> None:
    """Run until told to stop."""
    engines = Catalogue().engines()
    asyncio.run(
        serve_worker(
            load(WorkerSettings),
            load(NatsSettings),
            load(BlobSettings),
            engines,
            dict.fromkeys(engines, _release()),
        )
    )


if __name__ == "__main__":
    main()
