"""How many statements requests take: their number does not grow with what they show."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from kerma_common.infra import Infra
from kit.events.statements import counted
from kit.inputs.projects import submission
from kit.running.worlds.jobs_world import as_user

pytestmark = pytest.mark.asyncio(loop_scope="module")
Jobs = tuple[httpx.AsyncClient, Infra]


@pytest.mark.parametrize("path", ["/jobs", "/jobs/direct"])
async def test_a_status_takes_few_statements(jobs: Jobs, path: str) -> None:
    """YAPTIDE takes four."""
    send = as_user(jobs[0])
    made = await send("POST", "/jobs/direct", json=submission(100, 50))
    query = {"job_id": made.json()["job_id"]}
    with counted() as statements:
        for _ in range(10):
            answer = await send("GET", path, params=query)
            assert len(answer.json()["job_tasks_status"]) == 50
    shown = [statement for statement in statements if statement.startswith("SELECT")]
    assert 1 <= len(shown) <= 20


async def test_a_submission_takes_no_more_statements_for_more_tasks(jobs: Jobs) -> None:
    """YAPTIDE takes one for every task."""

    async def taken(tasks: int) -> int:
        send = as_user(jobs[0])
        body: dict[str, Any] = submission(1000, tasks)
        await send("GET", "/user/simulations")
        with counted() as statements:
            answer = await send("POST", "/jobs/direct", json=body)
        assert answer.status_code == 202, answer.text
        return len(statements)

    few = await taken(2)
    assert few >= 1
    assert await taken(200) <= few + 10
