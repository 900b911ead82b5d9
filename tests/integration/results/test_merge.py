"""From the outputs of tasks to a published result set that users read."""

from __future__ import annotations

import numpy as np

from kerma_common.contracts.ids import JobId
from kerma_common.contracts.results import (
    EstimatorMaterialised,
    MergeStarted,
    ResultSetCompleted,
    ResultSetOpened,
    ResultSetPublished,
)
from kit.results_world import OUTPUTS, World


async def test_outputs_become_results(world: World, job: JobId) -> None:
    async with world.service() as running, running.client() as client:
        await world.submit(job, 3)
        for index in (2, 0, 1):
            await world.succeed(job, index)
        await world.request_merge(job, 3, 3)
        events = await world.until(job, ResultSetPublished)
        assert [type(event) for event in events] == [
            ResultSetOpened,
            MergeStarted,
            *[EstimatorMaterialised] * 3,
            ResultSetCompleted,
            ResultSetPublished,
        ]
        assert (events[-1].tasks_merged, events[-1].primaries_merged) == (3, 33)
        assert not events[-1].partial
        body = (await client.get("/results", params={"job_id": job})).json()
    assert tuple(e["name"] for e in body["estimators"]) == OUTPUTS
    metadata = body["estimators"][0]["metadata"]
    assert (metadata["primaries"], metadata["tasks_merged"]) == ("33", "3")
    page = body["estimators"][0]["pages"][1]
    sums = [2 * np.random.default_rng(i).random(200) * (i + 10) for i in range(3)]
    np.testing.assert_allclose(page["data"]["values"], sum(sums) / 33, rtol=1e-12)
    assert len(page["data"]["errors"]) == 200
    assert page["metadata"]["page_filter_name"] == "filter 1"
