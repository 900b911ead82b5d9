"""While the rows of results are behind the log, an accepted job is not said to be unknown."""

from __future__ import annotations

import pytest

from kerma_common.commands import lateness
from kerma_common.contracts.ids import UNKNOWN_JOB, JobId
from kit.running.worlds.held import held
from kit.running.worlds.results_world import World

PATHS = (
    "/results",
    "/results/partial",
    "/estimators",
    "/logfiles",
    "/v1/jobs/{job}/results",
    "/v1/jobs/{job}/results/estimators/0",
    "/v1/jobs/{job}/results/estimators/0/pages/0",
    "/v1/jobs/{job}/logs",
)
EARLIER = "20260801-101400-00000000-0000-0000-0000-000000000000DIRECT"
UNKNOWN = "20260801-101500-00000000-0000-0000-0000-000000000000DIRECT"


async def test_a_job_that_is_not_shown_yet_is_not_unknown(
    world: World, job: JobId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lateness, "PATIENCE_SECONDS", 0.05)
    async with world.service() as running, running.client() as client:

        async def ask(path: str, of: str = job) -> tuple[int, str, str | None]:
            query = {} if "{job}" in path else {"job_id": of}
            answer = await client.get(path.format(job=of), params=query)
            said = answer.json()
            text = said.get("detail" if "{job}" in path else "message", "")
            return answer.status_code, text, answer.headers.get("Retry-After")

        await world.submit(EARLIER)
        await running.caught_up()
        async with held(world.db, "results"):
            await world.submit(job)
            for path in PATHS:
                status, _, again = await ask(path)
                assert (status, again) == (503, "1"), path
                assert await ask(path, UNKNOWN) == (404, UNKNOWN_JOB, None), path
        await running.caught_up()
        for path in PATHS:
            status, text, _ = await ask(path)
            assert status in (200, 404), path
            assert text != UNKNOWN_JOB, path
