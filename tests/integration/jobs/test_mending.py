"""Process managers and read models that meet invalid events, and how an operator mends them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from kerma_allinone.admin.mending import PROCESS, Mender
from kerma_allinone.assembly import SERVICES
from kerma_common.admin.audit import entries
from kerma_common.commands.bus import CommandBus
from kerma_common.contracts.events import jobs as events
from kerma_common.contracts.events import runner
from kerma_common.contracts.subjects import job_subject, task_loss_subject, task_subject
from kerma_common.errors import ContractViolation, InvalidRequest, NotFound
from kerma_common.infra import Infra
from kerma_jobs.app import lifecycle
from kerma_jobs.domain.commands import SettleTasks
from kit.forged import forge
from kit.inputs.projects import submission
from kit.running.worlds.jobs_world import REF, appears, append, as_user, publish, succeed

pytestmark = pytest.mark.asyncio(loop_scope="module")
World = tuple[httpx.AsyncClient, Infra]


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(60):
        while not (found := await condition()):
            await asyncio.sleep(0.02)
    return found


async def submitted(send: Callable[..., Any], tasks: int = 2) -> str:
    answer = await send("POST", "/jobs/direct", json=submission(primaries=10, tasks=tasks))
    assert answer.status_code == 202, answer.text
    job: str = answer.json()["job_id"]
    return job


def ended(job: str, index: int) -> runner.TaskSucceeded:
    return runner.TaskSucceeded(
        job_id=job,
        index=index,
        lease=1,
        attempt=1,
        output_ref=REF,
        log_ref=None,
        primaries=5,
        cpu_seconds=1.0,
    )


async def state_of(send: Callable[..., Any], job: str) -> str:
    state: str = (await send("GET", "/jobs", params={"job_id": job})).json()["job_state"]
    return state


async def completes(infra: Infra, send: Callable[..., Any], job: str) -> None:
    await appears(infra, job, "JobMergeRequested")
    await publish(infra, job, 2, 10, partial=False)
    await appears(infra, job, "JobCompleted")
    assert await state_of(send, job) == "COMPLETED"


async def test_a_forged_event_of_a_task_waits_alone_until_it_is_skipped(jobs: World) -> None:
    client, infra = jobs
    send, mender = as_user(client), Mender(SERVICES["jobs"], infra)
    job = await submitted(send)
    task = str(task_subject(job, 0))
    await forge(infra.log, task_subject(job, 0), ended(job, 0))
    for index in range(2):
        await succeed(infra, job, index, 5)
    found = await until(lambda: _quarantined(mender, job, 2))
    units = {item.entry.name: item.entry for item in found}
    assert {name: unit.unit for name, unit in units.items()} == {"lifecycle": task, "jobs": task}
    assert "validation error for TaskSucceeded" in units["lifecycle"].error
    lags = {(lag.kind, lag.name, lag.stream): lag.quarantined for lag in await mender.lags()}
    assert lags[PROCESS, "lifecycle", "RUNNER"] == 1
    assert sum(count for (_, name, _), count in lags.items() if name == "lifecycle") == 1
    with pytest.raises(InvalidRequest, match="reason"):
        await mender.skip("lifecycle", task, " ")
    await completes(infra, send, job)
    # the read model keeps the order of a task's events, so the later ones wait for this
    for name in ("lifecycle", "jobs"):
        assert (await mender.skip(name, task, "forged"))[0] == 1
    assert not await _quarantined(mender, job, 0)
    done = [entry for entry in await entries(infra.nats) if entry.target == task]
    assert [(entry.action, entry.part, entry.reason) for entry in done] == [
        ("skip", "lifecycle", "forged"),
        ("skip", "jobs", "forged"),
    ]
    with pytest.raises(NotFound):
        await mender.replay("lifecycle", task, "again")


async def lose(infra: Infra, job: str, index: int) -> None:
    """Damage the history of a task, and append what the runner makes of it."""
    await forge(infra.log, task_subject(job, index), ended(job, index))
    lost = runner.TasksLost(job_id=job, tasks=(index,), reason="damaged")
    await append(infra, task_loss_subject(job), lost)


async def test_a_job_with_a_lost_task_completes_with_the_others(jobs: World) -> None:
    client, infra = jobs
    send = as_user(client)
    job = await submitted(send)
    await lose(infra, job, 0)
    await succeed(infra, job, 1, 5)
    await appears(infra, job, "JobMergeRequested")
    await publish(infra, job, 1, 5, partial=True)
    await appears(infra, job, "JobCompleted")
    assert await state_of(send, job) == "COMPLETED"
    status = (await send("GET", "/jobs", params={"job_id": job})).json()
    assert [task["task_state"] for task in status["job_tasks_status"]] == ["FAILED", "COMPLETED"]
    assert status["message"].endswith("5 of 10 primaries; a task failed: damaged")
    assert (await send("DELETE", "/user/simulations", params={"job_id": job})).status_code == 200


async def test_a_job_whose_only_task_is_lost_fails_with_the_reason(jobs: World) -> None:
    client, infra = jobs
    send = as_user(client)
    job = await submitted(send, tasks=1)
    await lose(infra, job, 0)
    await appears(infra, job, "JobFailed")
    status = (await send("GET", "/jobs", params={"job_id": job})).json()
    assert status["job_state"] == "FAILED"
    assert "1 of 1 tasks failed: damaged" in status["message"]
    assert (await send("DELETE", "/user/simulations", params={"job_id": job})).status_code == 200


async def test_a_cancelled_job_with_a_lost_task_can_be_deleted(jobs: World) -> None:
    client, infra = jobs
    send = as_user(client)
    job = await submitted(send)
    assert (await send("DELETE", "/jobs/direct", params={"job_id": job})).status_code == 200
    await append(infra, task_subject(job, 1), runner.TaskCanceled(job_id=job, index=1))
    await lose(infra, job, 0)
    answer = await send("DELETE", "/user/simulations", params={"job_id": job})
    assert answer.status_code == 200, answer.text


async def test_an_instance_waits_as_a_whole_and_goes_on_after_a_fix(
    jobs: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, infra = jobs
    send, mender = as_user(client), Mender(SERVICES["jobs"], infra)
    right = lifecycle._count

    def wrong(known: lifecycle.Endings, event: Any) -> lifecycle.Endings:
        if isinstance(event, runner.TaskSucceeded) and event.index == 0:
            raise ArithmeticError("cannot count")
        return right(known, event)

    monkeypatch.setattr(lifecycle, "_count", wrong)
    job, other = await submitted(send), await submitted(send, tasks=1)
    await succeed(infra, job, 0, 5)
    await succeed(infra, job, 1, 5)
    [found] = await until(lambda: _quarantined(mender, job, 1))
    assert found.entry.error == "ArithmeticError: cannot count"
    await until(lambda: _waits(mender, job, 2))
    # meanwhile its owner gets proper answers
    assert await state_of(send, job) == "RUNNING"
    refused = await send("DELETE", "/user/simulations", params={"job_id": job})
    assert refused.status_code == 403, refused.text
    monkeypatch.setattr(lifecycle, "_count", right)
    assert await mender.replay("lifecycle", job, "deployed a fix") >= 2
    await completes(infra, send, job)
    assert (await send("DELETE", "/user/simulations", params={"job_id": job})).status_code == 200
    answer = await send("DELETE", "/jobs/direct", params={"job_id": other})
    assert answer.status_code == 200, answer.text


async def test_a_job_whose_history_cannot_be_read_is_refused_with_the_reason(jobs: World) -> None:
    client, infra = jobs
    send = as_user(client)
    job = await submitted(send)
    await forge(infra.log, job_subject(job), events.JobDeleted(job_id=job, by="x"))
    for path in ("/jobs/direct", "/jobs/direct"):
        answer = await send("DELETE", path, params={"job_id": job})
        assert (answer.status_code, answer.json()["code"]) == (409, "UNREADABLE_HISTORY")


async def test_parked_commands_are_listed_retried_and_dropped(
    jobs: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, infra = jobs
    send, mender = as_user(client), Mender(SERVICES["jobs"], infra)
    right = CommandBus.execute

    async def wrong(
        self: CommandBus, aggregate: Any, subject: Any, command: Any, ctx: Any, **options: Any
    ) -> Any:
        if isinstance(command, SettleTasks):
            raise ContractViolation("no such thing")
        return await right(self, aggregate, subject, command, ctx, **options)

    monkeypatch.setattr(CommandBus, "execute", wrong)
    kept, given_up = await submitted(send), await submitted(send)
    for job in (kept, given_up):
        for index in range(2):
            await succeed(infra, job, index, 5)
    parked = {p.instance: p for p in await until(lambda: _parked(mender, {kept, given_up}))}
    assert parked[kept].what == "SettleTasks"
    assert "no such thing" in parked[kept].error
    lags = {lag.name: lag.parked for lag in await mender.lags() if lag.kind == PROCESS}
    assert lags == {"lifecycle": 2, "departures": 0}
    with pytest.raises(InvalidRequest, match="reason"):
        await mender.drop(parked[given_up].id, "")
    await mender.drop(parked[given_up].id, "the user asked for it")
    monkeypatch.setattr(CommandBus, "execute", right)
    await mender.retry(parked[kept].id, "deployed a fix")
    await completes(infra, send, kept)
    assert await mender.parked() == []
    assert await state_of(send, given_up) == "RUNNING"
    with pytest.raises(NotFound):
        await mender.retry(parked[given_up].id, "too late")
    [entry] = [e for e in await entries(infra.nats) if e.action == "drop"]
    assert entry.content["what"] == "SettleTasks"
    # the owner can always cancel an unfinished job
    assert (await send("DELETE", "/jobs/direct", params={"job_id": given_up})).status_code == 200


async def _quarantined(mender: Mender, job: str, n: int) -> list[Any]:
    found = [item for item in await mender.quarantined() if job in item.entry.unit]
    return found if len(found) == n or not n else []


async def _waits(mender: Mender, job: str, n: int) -> bool:
    return any(item.entry.commits >= n for item in await _quarantined(mender, job, 1))


async def _parked(mender: Mender, instances: set[str]) -> list[Any]:
    found = await mender.parked()
    return found if {entry.instance for entry in found} == instances else []
