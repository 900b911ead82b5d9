"""Following a stream, on every adapter and through server failures."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from nats.aio.client import Client

from kerma_allinone.children import NatsChild, NatsCluster
from kerma_common.contracts.envelope import Recorded
from kerma_common.errors import OutcomeUnknown, Unavailable
from kerma_common.eventlog import api, pull, tail
from kerma_common.eventlog.jetstream import JetStreamLog
from kerma_common.eventlog.port import EventLog
from kerma_common.eventlog.pull import LogWentBackwards
from kerma_common.nats import connection
from kit.events.commits import commit, fresh_subject, write
from kit.running.network.proxy import Proxy

Batches = AsyncGenerator[Sequence[Recorded], None]


async def take(batches: Batches, n: int) -> list[Recorded]:
    """Return at least the next ``n`` commits."""
    found: list[Recorded] = []
    async with asyncio.timeout(60):
        while len(found) < n:
            batch = await anext(batches)
            assert batch
            found += batch
    return found


def assert_contiguous(found: list[Recorded], after: int) -> None:
    assert [r.seq for r in found] == list(range(after + 1, after + 1 + len(found)))


async def test_what_is_stored_comes_in_order_and_in_batches(log: EventLog) -> None:
    after = (await log.state("RUNNER")).last
    subject = fresh_subject()
    done = await write(log, subject, 100)
    async with log.follow("RUNNER", after, max_batch=16) as batches:
        sizes: list[int] = []
        found: list[Recorded] = []
        while len(found) < 100:
            batch = await anext(batches)
            sizes.append(len(batch))
            found += batch
    assert max(sizes) <= 16
    assert_contiguous(found, after)
    assert [r.commit for r in found] == [made for made, _ in done]
    assert {(r.stream, r.subject) for r in found} == {("RUNNER", str(subject))}


async def test_what_comes_later_wakes_the_follower(log: EventLog) -> None:
    after = (await log.state("RUNNER")).last
    subject, expected = fresh_subject(), 0
    async with log.follow("RUNNER", after) as batches:
        for version in range(1, 6):
            waiting = asyncio.ensure_future(anext(batches))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            made = commit(subject, version)
            expected = (await log.append(subject, expected, made)).seq
            [found] = await asyncio.wait_for(waiting, 10)
            assert (found.seq, found.commit) == (expected, made)


async def test_a_follower_ahead_of_nothing_waits(log: EventLog) -> None:
    after = (await log.state("RUNNER")).last
    async with log.follow("RUNNER", after) as batches:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(batches), 0.2)


async def test_a_follower_can_start_at_a_moment(log: EventLog) -> None:
    subject = fresh_subject()
    await write(log, subject, 3)
    await asyncio.sleep(0.01)
    moment = datetime.now(UTC)
    last = (await log.state("RUNNER")).last
    assert await log.before("RUNNER", moment) == last
    done = await write(log, fresh_subject(), 2)
    assert await log.before("RUNNER", moment) == last
    assert await log.before("RUNNER", moment - timedelta(days=9)) == 0
    async with log.follow("RUNNER", last) as batches:
        assert [r.commit for r in await take(batches, 2)] == [made for made, _ in done]


async def test_followers_leave_nothing_behind(url: str) -> None:
    async with connection(url, name="test") as nc:
        log = JetStreamLog(nc)
        async with log.follow("RESULTS", (await log.state("RESULTS")).last) as batches:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(batches), 0.1)
        async with log.follow("RUNNER", 0) as batches:
            await write(log, fresh_subject(), 1)
            await anext(batches)
            assert await _consumers(nc, "RUNNER") == 1
        async with asyncio.timeout(60):
            while await _consumers(nc, "RESULTS") or await _consumers(nc, "RUNNER"):
                await asyncio.sleep(0.02)


async def _consumers(nc: Client, stream: str) -> int:
    count: int = (await api.call(nc, f"STREAM.INFO.{stream}"))["state"]["consumer_count"]
    return count


async def test_pauses_longer_than_a_heartbeat_lose_nothing(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "HEARTBEAT", 0.5)
    monkeypatch.setattr(pull, "SILENCE", 1.5)
    async with connection(url, name="test") as nc:
        log = JetStreamLog(nc)
        after = (await log.state("RUNNER")).last
        await write(log, fresh_subject(), 40)
        async with log.follow("RUNNER", after, max_batch=8) as batches:
            found = await take(batches, 8)
            await asyncio.sleep(2 * pull.SILENCE)
            await write(log, fresh_subject(), 5)
            found += await take(batches, 45 - len(found))
    assert_contiguous(found, after)


async def test_a_cut_connection_loses_and_repeats_nothing(
    single: NatsChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "READ", 8)  # so that there are many requests to lose
    async with Proxy("127.0.0.1", single.port).listening() as proxy:
        through = single.url.replace(str(single.port), str(proxy.port))
        async with (
            connection(through, name="reader") as reading,
            connection(single.url, name="writer") as writing,
        ):
            log = JetStreamLog(writing)
            after = (await log.state("RUNNER")).last
            async with JetStreamLog(reading).follow("RUNNER", after, max_batch=8) as batches:
                await write(log, fresh_subject(), 20)
                found = await take(batches, 4)
                for _ in range(3):
                    proxy.lose_answer_to(b"CONSUMER.MSG.NEXT")
                    await write(log, fresh_subject(), 20)
                    found += await take(batches, 20)
                found += await take(batches, 80 - len(found))
            assert proxy.lost > 0
    assert len(found) == 80
    assert_contiguous(found, after)


async def test_a_consumer_that_the_server_lost_is_made_again(url: str) -> None:
    async with connection(url, name="test") as nc:
        log = JetStreamLog(nc)
        after = (await log.state("RUNNER")).last
        async with log.follow("RUNNER", after) as batches:
            await write(log, fresh_subject(), 3)
            found = await take(batches, 3)
            names = (await api.call(nc, "CONSUMER.NAMES.RUNNER"))["consumers"]
            for name in names:
                await api.call(nc, f"CONSUMER.DELETE.RUNNER.{name}")
            await write(log, fresh_subject(), 3)
            found += await take(batches, 3)
    assert_contiguous(found, after)


async def test_killed_server_keeps_what_it_acknowledged(own_server: NatsChild) -> None:
    """Kill the server three times while writers and a follower are busy."""
    async with connection(own_server.url, name="test") as nc:
        log = JetStreamLog(nc, ack_timeout=0.5)
        stored: set[str] = set()
        ended = asyncio.Event()

        async def writer() -> None:
            while not ended.is_set():
                subject = fresh_subject()
                made = commit(subject)
                try:
                    await log.append(subject, 0, made)
                except (Unavailable, OutcomeUnknown):
                    await asyncio.sleep(0.05)
                else:
                    stored.add(made.id)

        async def killer() -> None:
            for _ in range(3):
                before = len(stored)
                while len(stored) < before + 50:
                    await asyncio.sleep(0.01)
                own_server.child.send(signal.SIGKILL)
                await own_server.child.wait()
                await own_server.restart()
            before = len(stored)
            while len(stored) < before + 50:
                await asyncio.sleep(0.01)
            ended.set()

        found: list[Recorded] = []

        async def reader(batches: Batches) -> None:
            while not (ended.is_set() and stored <= {r.commit.id for r in found}):
                found.extend(await anext(batches))

        async with (
            asyncio.timeout(120),
            log.follow("RUNNER", 0, max_batch=16) as batches,
            asyncio.TaskGroup() as tasks,
        ):
            for _ in range(4):
                tasks.create_task(writer())
            tasks.create_task(killer())
            tasks.create_task(reader(batches))
        assert_contiguous(found, 0)
        assert len({r.commit.id for r in found}) == len(found)


async def test_killed_cluster_node_loses_nothing(own_cluster: NatsCluster) -> None:
    async with connection(own_cluster.url, name="test") as nc:
        log = JetStreamLog(nc, ack_timeout=0.5)
        connected = nc.connected_url
        assert connected is not None
        victim = next(node for node in own_cluster.nodes if node.port == connected.port)
        async with log.follow("RUNNER", 0) as batches:
            await write(log, fresh_subject(), 5)
            found = await take(batches, 5)
            victim.child.send(signal.SIGKILL)
            await victim.child.wait()
            subject = fresh_subject()
            made, stored = commit(subject), False
            while not stored:
                try:
                    await log.append(subject, 0, made)
                    stored = True
                except (Unavailable, OutcomeUnknown):
                    await asyncio.sleep(0.2)
            found += await take(batches, 1)
        assert_contiguous(found, 0)
        assert found[-1].commit == made


async def test_followers_at_the_end_share_one_consumer(url: str) -> None:
    async with connection(url, name="test") as nc:
        log = JetStreamLog(nc)
        after = (await log.state("RUNNER")).last
        done = [commit.id for commit, _ in await write(log, fresh_subject(), 600)]
        async with (
            log.follow("RUNNER", after + 590) as near,
            log.follow("RUNNER", after + 600, max_batch=3) as end,
            log.follow("RUNNER", after) as far,
        ):
            later = [asyncio.ensure_future(take(one, n)) for one, n in ((near, 30), (end, 20))]
            assert_contiguous(await take(far, 600), after)
            done += [commit.id for commit, _ in await write(log, fresh_subject(), 20)]
            found = [*await asyncio.gather(*later), await take(far, 20)]
            async with asyncio.timeout(60):
                while await _consumers(nc, "RUNNER") > 1:
                    await asyncio.sleep(0.02)
    for batch, start in zip(found, (590, 600, 600), strict=True):
        assert_contiguous(batch, after + start)
        assert [r.commit.id for r in batch] == done[start:]


async def test_a_follower_that_has_everything_holds_up_no_other(log: EventLog) -> None:
    after = (await log.state("RUNNER")).last
    await write(log, fresh_subject(), 2)
    async with (
        log.follow("RUNNER", after + 1) as first,
        log.follow("RUNNER", after + 2) as waits,
        log.follow("RUNNER", after + 1) as second,
    ):
        asked = [asyncio.ensure_future(take(one, 1)) for one in (first, waits, second)]
        for one in (asked[0], asked[2]):
            assert_contiguous(await one, after + 1)
        assert not asked[1].done()
        await write(log, fresh_subject(), 1)
        assert_contiguous(await asked[1], after + 2)


async def test_a_follower_that_is_too_slow_for_the_others_goes_on_alone(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "READ", 5)
    monkeypatch.setattr(tail, "KEPT", 10)
    async with connection(url, name="test") as nc:
        log = JetStreamLog(nc)
        after = (await log.state("RUNNER")).last
        async with (
            log.follow("RUNNER", after, max_batch=2) as slow,
            log.follow("RUNNER", after) as fast,
        ):
            await write(log, fresh_subject(), 1)
            found = await take(slow, 1)
            assert_contiguous(await take(fast, 1), after)
            await write(log, fresh_subject(), 50)
            assert_contiguous(await take(fast, 50), after + 1)
            found += await take(slow, 50)
            await write(log, fresh_subject(), 1)
            assert_contiguous(await take(fast, 1), after + 51)
            found += await take(slow, 1)
    assert_contiguous(found, after)


async def test_a_follower_that_leaves_while_it_reads_for_all_holds_nobody_up(url: str) -> None:
    async with connection(url, name="test") as nc:
        log = JetStreamLog(nc)
        after = (await log.state("RUNNER")).last
        async with log.follow("RUNNER", after) as stays:
            async with log.follow("RUNNER", after) as leaves:
                reading = asyncio.ensure_future(anext(leaves))
                await asyncio.sleep(0.1)
                waiting = asyncio.ensure_future(take(stays, 3))
                await asyncio.sleep(0.1)
                reading.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await reading
            await write(log, fresh_subject(), 3)
            assert_contiguous(await waiting, after)


async def test_a_log_that_lost_its_tail_is_not_followed(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kerma_common.eventlog.pull.RETRY", (0.01, 0.01))
    async with connection(url, name="test") as nc:
        log = JetStreamLog(nc)
        after = (await log.state("RUNNER")).last
        async with log.follow("RUNNER", after + 1) as batches:
            with pytest.raises(LogWentBackwards):
                await anext(batches)
