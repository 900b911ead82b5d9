"""The results service with the script engine; settings from the environment."""

import asyncio
import sys

from kerma_allinone.infrastructure import open_infra
from kerma_common.infra import ALL_ROLES
from kerma_common.service import serve
from kerma_common.settings import BlobSettings, HttpSettings, NatsSettings, PgSettings, load
from kerma_common.telemetry.logs import configure_logs
from kerma_results.main import build
from kit.programs.script_engine import ScriptEngine


async def main() -> None:
    configure_logs("results", "INFO", sys.stderr)
    http = load(HttpSettings)
    async with open_infra(
        "results",
        "kerma_results",
        ALL_ROLES,
        nats=load(NatsSettings),
        postgres=load(PgSettings),
        blobs=load(BlobSettings),
    ) as infra:
        await serve(build(http, infra, ScriptEngine), http.host, http.port)


if __name__ == "__main__":
    asyncio.run(main())
