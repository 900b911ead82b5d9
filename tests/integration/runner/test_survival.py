"""Workers that die, race, leave and return; cancellation; servers that go away."""

from __future__ import annotations

import asyncio
import signal
from datetime import timedelta
from functools import partial

import httpx
import psutil
import pytest

from kerma_allinone.children import NatsChild
from kerma_common.bus.faststream import EdgeBroker
from kerma_common.bus.rpc import call
from kerma_common.contracts import rpc_runner as rpc
from kerma_common.contracts.events import jobs
from kerma_common.contracts.subjects import task_set_subject
from kerma_common.errors import Unavailable
from kerma_common.nats import connection
from kerma_runner.adapters.tickets import ACK_WAIT
from kerma_runner.domain.task import Phase
from kerma_runner.worker import runner_client
from kit.programs.family import runs
from kit.programs.script_engine import script_input
from kit.running.servers import standing_still
from kit.running.worlds.runner_service import (
    PATIENCE,
    SHORT_LEASE,
    Running,
    as_expected,
    eventually,
    names,
)

short_leases = pytest.mark.parametrize("lease_seconds", [SHORT_LEASE])


async def of_set(runner: Running, job: str) -> list[str]:
    history = await runner.log.load(task_set_subject(job))
    return names([event.decode() for r in history for event in r.commit.events])


async def alive(processes: list[psutil.Process]) -> bool:
    return any(map(runs, processes))


async def none_left(processes: list[psutil.Process]) -> bool:
    return not await alive(processes)


@short_leases
async def test_a_killed_worker_loses_its_task_to_another_and_leaves_no_process(
    runner: Running,
) -> None:
    first = runner.start_worker(slots=1)
    go = runner.folder / "go"
    job = await runner.submit(script_input("slow", go))
    await runner.until(job, "RUNNING")
    engines = first.engines()
    assert engines
    first.kill()
    await eventually(lambda: none_left(engines))
    runner.start_worker(slots=1)
    go.touch()
    await runner.until(job, "SUCCEEDED")
    story = await runner.story(job)
    assert names(story) == [
        "TaskLeased",
        "TaskStarted",
        "TaskLeaseExpired",
        "TaskRequeued",
        "TaskLeased",
        "TaskStarted",
        "TaskSucceeded",
    ]
    assert story[-1].lease == 2


async def test_the_next_worker_removes_the_scratch_of_a_dead_one_and_hands_its_tasks_back(
    runner: Running,
) -> None:
    """The lease is longer than the test may take."""
    first = runner.start_worker(slots=1)
    go = runner.folder / "go"
    job = await runner.submit(script_input("slow", go))
    await runner.until(job, "RUNNING")
    (left,) = first.scratch.iterdir()
    first.kill()
    second = runner.start_worker(slots=1, scratch=first.scratch)
    go.touch()
    await runner.until(job, "SUCCEEDED")
    assert not left.exists()
    assert second.process.poll() is None
    story = await runner.story(job)
    assert names(story)[1:5] == ["TaskStarted", "TaskLeaseExpired", "TaskRequeued", "TaskLeased"]
    assert (story[-1].lease, story[-1].attempt) == (2, 2)


async def test_a_living_worker_keeps_its_tasks_when_another_joins_it(runner: Running) -> None:
    first = runner.start_worker(slots=1)
    go = runner.folder / "go"
    job = await runner.submit(script_input("slow", go))
    await runner.until(job, "RUNNING")
    runner.start_worker(slots=1, scratch=first.scratch)
    other = await runner.submit(script_input("ok"))
    await runner.until(other, "SUCCEEDED")
    go.touch()
    await runner.until(job, "SUCCEEDED")
    assert names(await runner.story(job)) == [
        "TaskLeased",
        "TaskStarted",
        "TaskSucceeded",
    ]


async def test_a_dead_workers_reports_are_refused_if_it_lives_after_all(runner: Running) -> None:
    """A worker declared dead by mistake loses an attempt, but no task counts twice."""
    offer = rpc.Registration("w", "pool", 1, {"script": "1"})
    await call(runner.broker, rpc.REGISTER, offer, rpc.Registered)
    job = await runner.submit(script_input("ok"))
    await runner.until(job, "QUEUED")
    claim = rpc.ClaimRequest("w", job, 0, 1)
    granted = (await call(runner.broker, rpc.CLAIM, claim, rpc.ClaimReply)).granted
    assert granted is not None
    await call(runner.broker, rpc.RETIRE, rpc.Retirement("w", rpc.DIED), rpc.Verdict)

    async def requeued() -> bool:
        return (await runner.task(job)).attempt == 2

    await eventually(requeued)
    released = rpc.Report("w", granted.held, released=True)
    verdict = await call(runner.broker, rpc.REPORT, released, rpc.Verdict)
    assert verdict.code == "STALE_LEASE"
    runner.start_worker(slots=1)
    await runner.until(job, "SUCCEEDED")
    assert (await runner.task(job)).lease == 2


async def test_two_workers_racing_for_a_ticket_get_one_lease(runner: Running) -> None:
    job = await runner.submit(script_input("ok"))
    await runner.until(job, "QUEUED")

    async def claim(worker: str) -> rpc.ClaimReply:
        request = rpc.ClaimRequest(worker, job, 0, 1)
        return await call(runner.broker, rpc.CLAIM, request, rpc.ClaimReply)

    replies = await asyncio.gather(*(claim(f"w{n}") for n in range(20)))
    assert sorted(r.verdict for r in replies) == ["BUSY"] * 19 + ["LEASED"]
    assert names(await runner.story(job)) == ["TaskLeased"]


@short_leases
async def test_a_worker_whose_lease_is_over_drops_its_task(runner: Running) -> None:
    worker = runner.start_worker(slots=1)
    go = runner.folder / "go"
    job = await runner.submit(script_input("slow", go), max_attempts=1)
    await runner.until(job, "RUNNING")
    engines = worker.engines()
    # a pause longer than the lease; the engine works on
    worker.process.send_signal(signal.SIGSTOP)
    await runner.until(job, "FAILED")
    assert await alive(engines)
    worker.process.send_signal(signal.SIGCONT)
    await eventually(lambda: none_left(engines))
    assert names(await runner.story(job))[-2:] == ["TaskLeaseExpired", "TaskFailed"]
    assert (await runner.story(job))[-1].code == "LOST"


async def test_a_worker_that_is_told_to_stop_gives_its_tasks_back_without_an_attempt(
    runner: Running,
) -> None:
    worker = runner.start_worker(slots=1)
    go = runner.folder / "go"
    job = await runner.submit(script_input("slow", go), max_attempts=1)
    await runner.until(job, "RUNNING")
    engines = worker.engines()
    assert await worker.terminate() == 0
    assert not await alive(engines)
    assert not any(worker.scratch.iterdir())
    task = await runner.task(job)
    assert (task.phase, task.attempt) == (Phase.QUEUED, 1)
    go.touch()
    runner.start_worker(slots=1)
    await runner.until(job, "SUCCEEDED")


async def test_a_worker_may_finish_before_it_stops(runner: Running) -> None:
    worker = runner.start_worker(slots=1, finish_seconds=20)
    go = runner.folder / "go"
    job = await runner.submit(script_input("slow", go))
    await runner.until(job, "RUNNING")
    stopping = asyncio.create_task(worker.terminate())
    go.touch()
    assert await stopping == 0
    await runner.until(job, "SUCCEEDED")


@pytest.mark.parametrize("mode", ["hang", "stubborn", "family"])
async def test_a_canceled_task_is_confirmed_when_nothing_of_it_is_left(
    runner: Running, mode: str
) -> None:
    worker = runner.start_worker(slots=1, grace_seconds=0.3)
    job = await runner.submit(script_input(mode), n_tasks=2)
    await runner.until(job, "RUNNING")
    engines = worker.engines()
    assert engines
    await runner.cancel(job)
    await runner.until(job, "CANCELED")
    assert not await alive(engines)
    stories = sorted([names(await runner.story(job, n)) for n in range(2)], key=len)
    assert stories[0] == []
    assert stories[1][-2:] == ["TaskCancellationRequested", "TaskCanceled"]


async def test_a_cancellation_arrives_by_heartbeat_when_its_signal_is_lost(
    runner: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kerma_runner.adapters.tickets.worker_signal", lambda w: "sig.nowhere")
    lost = await runner.infra.nats.subscribe("sig.nowhere")
    arrived = await runner.infra.nats.subscribe(rpc.worker_signal("*"))
    runner.start_worker(slots=1)
    job = await runner.submit(script_input("hang"))
    await runner.until(job, "RUNNING")
    await runner.cancel(job)
    await runner.until(job, "CANCELED")
    assert (await lost.next_msg(PATIENCE)).subject == "sig.nowhere"
    assert arrived.pending_msgs == 0
    assert names(await runner.story(job))[-2:] == ["TaskCancellationRequested", "TaskCanceled"]


async def test_a_deleted_job_loses_its_tasks(runner: Running) -> None:
    job = await runner.submit(script_input("ok"), n_tasks=3)
    await runner.until(job, "QUEUED", n=3)
    await runner.record(jobs.JobDeleted(job_id=job, by="ada"))
    expected = ["TasksQueued", "TasksWithdrawn", "TasksCanceled"]
    await eventually(lambda: as_expected(of_set(runner, job), expected))
    await eventually(lambda: as_expected(runner.rows(job), []))
    # no worker gets a task of this job any more
    runner.start_worker(slots=1)
    later = await runner.submit(script_input("ok"))
    await runner.until(later, "SUCCEEDED")
    assert await runner.rows(job) == []


@short_leases
async def test_work_goes_on_while_the_bus_is_away(runner: Running, nats_child: NatsChild) -> None:
    runner.start_worker(slots=1)
    go = runner.folder / "go"
    job = await runner.submit(script_input("slow", go), max_attempts=1)
    await runner.until(job, "RUNNING")
    nats_child.child.send(signal.SIGKILL)
    await nats_child.child.wait()
    go.touch()
    # longer than a lease: silence while the bus is down proves nothing
    await asyncio.sleep(SHORT_LEASE + 0.5)
    await nats_child.restart()
    await runner.until(job, "SUCCEEDED")
    assert (await runner.task(job)).lease == 1


async def test_lost_tickets_are_issued_again(
    runner: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await runner.submit(script_input("ok"))
    await runner.until(job, "QUEUED")
    offer = rpc.Registration("ghost", "pool", 1, {"script": "1"})
    await call(runner.broker, rpc.REGISTER, offer, rpc.Registered)
    stream = runner.infra.nats.jetstream()

    async def issued() -> bool:
        found = await stream.stream_info("WORK", subjects_filter="work.task.pool.script")
        return bool(found.state.subjects)

    await eventually(issued)
    monkeypatch.setattr("kerma_runner.app.dispatcher.REISSUE", timedelta(seconds=0.1))
    await stream.purge_stream("WORK")
    await call(runner.broker, rpc.RETIRE, rpc.Retirement("ghost", "over"), rpc.Verdict)
    runner.start_worker(slots=1)
    await runner.until(job, "SUCCEEDED")


async def test_progress_is_told_and_the_demand_is_shown(runner: Running) -> None:
    runner.start_worker(slots=1, resource_class="large")
    go = runner.folder / "go"
    job = await runner.submit(script_input("watched", go), placement="large")
    await runner.until(job, "RUNNING")
    stream = runner.infra.nats.jetstream()

    async def told() -> bool:
        info = await stream.stream_info("TELEMETRY", subjects_filter=f"tele.task.{job}.0")
        return bool(info.state.subjects)

    await eventually(told)
    message = await stream.get_last_msg("TELEMETRY", f"tele.task.{job}.0")
    assert b'"primaries":250' in (message.data or b"")
    transport = httpx.ASGITransport(runner.service.asgi)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:

        async def shown() -> bool:
            lines = (await http.get("/internal/metrics")).text.splitlines()
            wanted = {
                'runner_demand{engine="script",resource_class="large"} 1.0',
                'runner_slots{engine="script",resource_class="large"} 1.0',
            }
            return wanted <= set(lines)

        await eventually(shown)
        assert (await http.get("/v1/runner/demand")).status_code == 401
    go.touch()
    await runner.until(job, "SUCCEEDED")


async def test_a_request_that_is_none_is_answered_with_a_fault(runner: Running) -> None:
    reply = await runner.infra.nats.request(rpc.CLAIM, b'{"worker": 1}', timeout=60)
    assert reply.data.startswith(b'{"error":{')
    assert b'"kind":"fault"' in reply.data


async def test_a_claim_of_an_unknown_task_is_refused(runner: Running) -> None:
    request = rpc.ClaimRequest("w", "20260101-000000-none", 0, 1)
    reply = await call(runner.broker, rpc.CLAIM, request, rpc.ClaimReply)
    assert reply == rpc.ClaimReply(None, "NO_SUCH_TASK")


async def test_a_ticket_whose_claim_is_not_answered_is_there_for_others_at_once(
    runner: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ticket request ends long before a ticket that nobody gives back is delivered again."""
    assert runner_client.PULL_SECONDS < ACK_WAIT

    async def away(*_: object) -> rpc.ClaimReply:
        raise Unavailable("away")

    offer = rpc.Registration("w", "pool", 1, {"script": "1"})
    await call(runner.broker, rpc.REGISTER, offer, rpc.Registered)
    async with connection(runner.nats_url, name="w") as client:
        worker = runner_client.RunnerClient(EdgeBroker(client))
        job = await runner.submit(script_input("ok"))
        found = await worker.next_ticket(offer.lanes)
        assert found is not None
        assert found[0].job_id == job
        with monkeypatch.context() as broken:
            broken.setattr(worker, "ask", away)
            with pytest.raises(Unavailable):
                await worker.claim("w", *found)
        async with asyncio.timeout(ACK_WAIT):
            # The ticket comes back after a pause, which may be longer than the next request.
            while (again := await worker.next_ticket(offer.lanes)) is None:
                pass
        assert again[0] == found[0]
        granted = (await worker.claim("w", *again)).granted
        assert granted is not None
        assert await worker.next_ticket(offer.lanes) is None


async def test_a_worker_takes_tickets_after_the_bus_stood_still(
    runner: Running, nats_child: NatsChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outage is so long that the worker cannot even end its ticket request in order."""
    monkeypatch.setattr(runner_client, "PULL_SECONDS", 0.3)
    monkeypatch.setattr(runner_client, "_MARGIN_SECONDS", 0.1)
    offer = rpc.Registration("w", "pool", 1, {"script": "1"})
    await call(runner.broker, rpc.REGISTER, offer, rpc.Registered)
    async with connection(runner.nats_url, name="w") as client:
        worker = runner_client.RunnerClient(EdgeBroker(client))
        with monkeypatch.context() as impatient, standing_still(nats_child):
            impatient.setattr(client, "flush", partial(client.flush, timeout=1))
            assert await worker.next_ticket(offer.lanes) is None
        job = await runner.submit(script_input("ok"))

        async def taken() -> bool:
            found = await worker.next_ticket(offer.lanes)
            return found is not None and found[0].job_id == job

        await eventually(taken)
        assert client.stats["reconnects"] == 0
