"""How many statements requests of results take: their number does not grow with the estimators."""

from __future__ import annotations

from uuid import uuid4

from kerma_common.contracts.events.results import ResultSetPublished
from kerma_common.contracts.ids import job_id
from kit.events.statements import counted
from kit.running.worlds.results_world import NOW, World


async def test_more_estimators_take_no_more_statements(world: World) -> None:
    """YAPTIDE takes one for every estimator, and for every page that is stored."""
    taken: dict[str, list[int]] = {"/estimators": [], "/results": []}
    async with world.service() as running, running.client() as client:
        for number in (1, 30):
            names = [f"out{place:02d}" for place in range(number)]
            job = job_id(NOW, uuid4(), "DIRECT")
            await world.submit(job, 2, names=names)
            for index in (0, 1):
                await world.succeed(job, index, outputs=names, bins=6)
            await world.request_merge(job, 2, 2)
            await world.until(job, ResultSetPublished)
            for path, counts in taken.items():
                with counted() as statements:
                    answer = await client.get(path, params={"job_id": job})
                listed = answer.json()[
                    "estimators" if path == "/results" else "estimators_metadata"
                ]
                assert len(listed) == number
                counts.append(len([one for one in statements if one.startswith("SELECT")]))
    for path, (few, many) in taken.items():
        assert few >= 1, path
        assert 1 <= many <= few + 3, path
