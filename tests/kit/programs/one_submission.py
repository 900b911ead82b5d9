"""A jobs service that gets one submission, in a process that a fault point may kill.

Arguments: URLs of bus and database, folder of blobs, user, key.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from kerma_jobs.main import build
from kit.inputs.projects import submission
from kit.running.worlds.jobs_world import NamedUsers
from kit.running.worlds.services import running


async def main(nats_url: str, postgres_url: str, blobs: str, user: str, key: str) -> None:
    async with running(
        "jobs",
        "kerma_jobs",
        build,
        nats_url=nats_url,
        postgres_url=postgres_url,
        blobs=Path(blobs),
        roles=frozenset({"api"}),
        verifier=NamedUsers(),
    ) as (client, _):
        headers = {"Authorization": f"Bearer {user}", "Idempotency-Key": key}
        answer = await client.post("/jobs/direct", json=submission(), headers=headers)
        print(answer.status_code, answer.text)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
