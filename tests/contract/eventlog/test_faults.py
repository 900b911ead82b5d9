"""Appends whose acknowledgement is lost, late or never sent."""

from __future__ import annotations

import asyncio
import re
import signal
from typing import Any

import pytest

from kerma_allinone.children import NatsChild
from kerma_common.contracts.subjects import Subject
from kerma_common.errors import OutcomeUnknown, Unavailable
from kerma_common.eventlog import api
from kerma_common.eventlog.jetstream import JetStreamLog
from kerma_common.nats import connection
from kit.events.commits import commit, fresh_subject, write
from kit.running.network.proxy import Proxy


async def test_lost_acknowledgement_means_one_commit(url: str) -> None:
    """The connection breaks after the commit was stored and before its acknowledgement arrives."""
    port = int(url.split(",")[0].rpartition(":")[2])
    async with Proxy("127.0.0.1", port).listening() as proxy:
        through = url.split(",")[0].replace(f":{port}", f":{proxy.port}")
        async with connection(through, name="test") as nc:
            log = JetStreamLog(nc, ack_timeout=0.5)
            subject = fresh_subject()
            [(_, first)] = await write(log, subject, 1)
            made = commit(subject, 2)
            proxy.lose_answer_to(b"HPUB ev.")
            appended = await log.append(subject, first.seq, made)
            assert proxy.lost == 1
            assert appended.duplicate
            history = await log.load(subject)
    assert [r.seq for r in history] == [first.seq, appended.seq]
    assert history[1].commit == made


async def test_two_tries_at_once_mean_one_commit(url: str) -> None:
    """A retry may overtake the acknowledgement of the first try."""
    async with connection(url, name="a") as one, connection(url, name="b") as two:
        for _ in range(20):
            subject = fresh_subject()
            made = commit(subject)
            places = await asyncio.gather(
                *(JetStreamLog(nc).append(subject, 0, made) for nc in (one, two, one))
            )
            assert len({p.seq for p in places}) == 1
            assert [r.commit for r in await JetStreamLog(one).load(subject)] == [made]


@pytest.mark.parametrize(
    "code", [*api.WRONG_LAST_SEQUENCE, api.DUPLICATE_IN_PROCESS], ids=lambda code: str(code)
)
async def test_a_refusal_that_nothing_explains_is_tried_again(single: NatsChild, code: int) -> None:
    """A cluster refuses while a write is in flight, and right after a change of leader."""

    class Refusing(JetStreamLog):
        refused_times = 2

        async def _publish(
            self, subject: Subject, body: bytes, headers: dict[str, str], *, maybe_stored: bool
        ) -> dict[str, Any] | None:
            if self.refused_times:
                self.refused_times -= 1
                return {"error": {"code": 400, "err_code": code, "description": "refused"}}
            return await super()._publish(subject, body, headers, maybe_stored=maybe_stored)

    async with connection(single.url, name="test") as nc:
        log, subject = Refusing(nc), fresh_subject()
        made = commit(subject)
        appended = await log.append(subject, 0, made)
        assert [(r.seq, r.commit) for r in await log.load(subject)] == [(appended.seq, made)]


async def test_without_connection_nothing_is_sent(own_server: NatsChild) -> None:
    async with connection(own_server.url, name="test") as nc:
        log = JetStreamLog(nc)
        subject = fresh_subject()
        own_server.child.send(signal.SIGKILL)
        await own_server.child.wait()
        while nc.is_connected:
            await asyncio.sleep(0.01)
        for attempt in (log.append(subject, 0, commit(subject)), log.load(subject)):
            with pytest.raises(Unavailable):
                await attempt
        await own_server.restart()
        while not nc.is_connected:
            await asyncio.sleep(0.01)
        assert await log.load(subject) == ()


async def test_a_server_that_never_answers_leaves_the_outcome_unknown(
    single: NatsChild,
) -> None:
    async with connection(single.url, name="test") as nc:
        silent = await nc.subscribe("ev.nowhere.>")
        log = JetStreamLog(nc, ack_timeout=0.05)
        subject = fresh_subject()
        nowhere = _renamed(subject)
        with pytest.raises(OutcomeUnknown):
            await log.append(nowhere, 0, commit(subject))
        assert silent.pending_msgs == 4


async def test_a_subject_without_stream_is_unavailable(single: NatsChild) -> None:
    async with connection(single.url, name="test") as nc:
        subject = fresh_subject()
        with pytest.raises(Unavailable):
            await JetStreamLog(nc).append(_renamed(subject), 0, commit(subject))


async def test_a_full_stream_takes_no_commits(own_server: NatsChild) -> None:
    async with connection(own_server.url, name="test") as nc:
        config = (await api.call(nc, "STREAM.INFO.RUNNER"))["config"]
        await api.call(nc, "STREAM.UPDATE.RUNNER", {**config, "max_msgs": 2})
        log = JetStreamLog(nc)
        subject = fresh_subject()
        done = await write(log, subject, 2)
        with pytest.raises(Unavailable):
            await log.append(subject, done[-1][1].seq, commit(subject, 3))
        assert [r.commit for r in await log.load(subject)] == [made for made, _ in done]


async def test_a_forbidden_publish_is_fatal(own_server: NatsChild) -> None:
    config = own_server.directory / "server.conf"
    login = re.compile(r"authorization \{ (.*) \}")
    deny = 'authorization { users: [ { \\1, permissions: { publish: { deny: "ev.runner.>" } } } ] }'
    config.write_text(login.sub(deny, config.read_text()))
    own_server.child.send(signal.SIGKILL)
    await own_server.child.wait()
    await own_server.restart()
    fatal: list[str] = []
    async with connection(own_server.url, name="test", on_fatal=fatal.append) as nc:
        subject = fresh_subject()
        with pytest.raises(OutcomeUnknown):
            await JetStreamLog(nc, ack_timeout=0.1).append(subject, 0, commit(subject))
    assert fatal
    assert "ermissions" in fatal[0]


async def test_closing_on_purpose_is_not_fatal(single: NatsChild) -> None:
    fatal: list[str] = []
    async with connection(single.url, name="test", on_fatal=fatal.append):
        pass
    assert fatal == []


async def test_no_server_is_unavailable_without_naming_the_password() -> None:
    with pytest.raises(Unavailable) as raised:
        async with connection("nats://u:secret@127.0.0.1:1", name="test", connect_within=0.2):
            pass
    assert "secret" not in str(raised.value)


def _renamed(subject: Subject) -> Subject:
    class Nowhere(Subject):
        __slots__ = ()

        def __str__(self) -> str:
            return f"ev.nowhere.{self.id}"

    return Nowhere(subject.context, subject.aggregate, subject.id, subject.key)
