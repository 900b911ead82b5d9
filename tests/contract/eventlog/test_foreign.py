"""Foreign messages in the log: every reader skips them, every append counts them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import pytest_asyncio
from nats.aio.client import Client

from kerma_allinone.children import NatsChild
from kerma_common import poison
from kerma_common.contracts.envelope import Recorded, encode
from kerma_common.contracts.subjects import Subject, job_subject, worker_subject
from kerma_common.errors import ContractViolation, UnreadableHistory
from kerma_common.eventlog import guard
from kerma_common.eventlog.guard import Checkpoint
from kerma_common.eventlog.jetstream import JetStreamLog
from kerma_common.eventlog.kept import read_all
from kerma_common.eventlog.messages import recorded
from kerma_common.eventlog.pull import LogWentBackwards
from kerma_common.nats import connection
from kerma_common.poison import STREAM, copied
from kit.events.commits import commit, fresh_subject, write
from kit.events.strange_messages import BODIES, HEADERS, mutants, send

FORGED = (b"ev.runner.\xff\xfe", b"ev.runner.a\x00b", b"ev.runner.worker.zz.a", b"ev.runner.x")


@pytest_asyncio.fixture
async def nc(single: NatsChild) -> AsyncIterator[Client]:
    async with connection(single.url, name="test") as client:
        yield client


async def store(nc: Client, subject: str | bytes, body: bytes, headers: bytes = b"") -> None:
    """Send a message and wait until the stream holds it: nothing acknowledges it."""
    log = JetStreamLog(nc)
    before = (await log.state("RUNNER")).last
    await send(nc, subject.encode() if isinstance(subject, str) else subject, body, headers)
    async with asyncio.timeout(60):
        while (await log.state("RUNNER")).last == before:
            await asyncio.sleep(0.005)


async def read_to_end(nc: Client, after: int) -> list[Recorded]:
    log = JetStreamLog(nc)
    last = (await log.state("RUNNER")).last
    found: list[Recorded] = []
    async with asyncio.timeout(60), log.follow("RUNNER", after) as batches:
        while after + len(found) < last:
            found += await anext(batches)
    return found


async def test_followers_pass_what_is_no_commit(nc: Client) -> None:
    log = JetStreamLog(nc)
    after = (await log.state("RUNNER")).last
    subject = fresh_subject()
    for headers in HEADERS:
        await store(nc, str(subject), b"{}", headers)
    for body in BODIES:
        await store(nc, str(subject), body)
    for name in FORGED:
        await store(nc, name, encode(commit(subject)))
    [(made, stored)] = await write(log, fresh_subject(), 1)
    found = await read_to_end(nc, after)
    assert [r.seq for r in found] == list(range(after + 1, stored.seq + 1))
    assert [r.commit for r in found if r.foreign is None] == [made]


async def test_every_wrong_field_is_found(nc: Client) -> None:
    subject = fresh_subject()
    for body in mutants(subject):
        found = recorded("RUNNER", 1, str(subject), body, None)
        # What is accepted differs only in fields whose content is free.
        assert found.foreign is not None or encode(found.commit)


async def test_an_aggregate_goes_on_over_what_is_no_commit(nc: Client) -> None:
    log = JetStreamLog(nc)
    subject = fresh_subject()
    [(first, _)] = await write(log, subject, 1)
    for body in (b"{}", b"\xff"):
        await store(nc, str(subject), body, HEADERS[3])
    history = await log.load(subject)
    assert [r.foreign is None for r in history] == [True, False, False]
    assert history[-1].seq == await log.last_seq(subject)
    second = commit(subject, 2)
    stored = await log.append(subject, history[-1].seq, second)
    await store(nc, str(subject), b"[]")
    found = await log.load(subject)
    assert [r.commit for r in found if r.foreign is None] == [first, second]
    assert stored.seq == found[-2].seq
    # An append whose acknowledgement was lost is found before the foreign message behind it.
    assert await log.append(subject, history[-1].seq, second) == type(stored)(
        "RUNNER", stored.seq, duplicate=True
    )


async def test_an_aggregate_whose_versions_have_a_hole_is_unreadable(nc: Client) -> None:
    log = JetStreamLog(nc)
    subject = fresh_subject()
    await write(log, subject, 1)
    await store(nc, str(subject), encode(commit(subject, 7)))
    with pytest.raises(UnreadableHistory, match="holes"):
        await log.load(subject)


async def test_a_commit_of_a_newer_release_is_not_passed() -> None:
    subject = fresh_subject()
    made = commit(subject)
    newer = orjson.dumps({**orjson.loads(encode(made)), "v": 2})
    ours = {"Kerma-Types": "WorkerRetired.1", "Nats-Msg-Id": made.id}
    with pytest.raises(ContractViolation, match="newer"):
        recorded("RUNNER", 1, str(subject), newer, ours)
    # A foreign message with the same content halts nobody.
    for place, headers in (
        (str(subject), {}),
        (str(subject), {**ours, "Nats-Msg-Id": "another"}),
        (str(fresh_subject()), ours),
        ("ev.runner.x", ours),
    ):
        assert recorded("RUNNER", 1, place, newer, headers).foreign is not None


@pytest.mark.parametrize(
    "subject",
    [worker_subject("other"), job_subject("j"), Subject("runner", "task", "w", "w")],
)
async def test_a_commit_on_another_subject_is_none(subject: Subject) -> None:
    made = commit(worker_subject("w"))
    assert recorded("RUNNER", 1, str(worker_subject("w")), encode(made), None).commit == made
    assert recorded("RUNNER", 1, str(subject), encode(made), None).foreign is not None


async def test_nothing_is_written_that_readers_would_pass(nc: Client) -> None:
    subject = worker_subject("w" * 300)
    with pytest.raises(ValueError, match="id"):
        await JetStreamLog(nc).append(subject, 0, commit(subject))


async def test_a_checkpoint_at_what_is_no_commit_is_recognised(nc: Client) -> None:
    log = JetStreamLog(nc)
    epoch = (await log.state("RUNNER")).epoch
    await store(nc, str(fresh_subject()), b"{}")
    seq = (await log.state("RUNNER")).last
    [record] = await read_to_end(nc, seq - 1)
    await guard.check(log, "RUNNER", Checkpoint(epoch, seq, record.commit.id))
    with pytest.raises(LogWentBackwards):
        await guard.check(log, "RUNNER", Checkpoint(epoch, seq, "another"))


async def test_it_is_kept_once_with_its_place(nc: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    # Earlier tests have used up the copies that a process makes in a minute.
    monkeypatch.setattr(poison, "_noted", poison._Noted())
    subject = fresh_subject()
    await store(nc, str(subject), b'{"job_id": 5}')
    seq = (await JetStreamLog(nc).state("RUNNER")).last
    for _ in range(2):
        await read_to_end(nc, seq - 1)
    async with asyncio.timeout(60):
        while not (kept := await _copies(nc, seq)):
            await asyncio.sleep(0.02)
    [copy] = kept
    assert (copy["source"], copy["subject"]) == ("log", f"RUNNER:{subject}")


async def _copies(nc: Client, seq: int) -> list[dict[str, Any]]:
    found = (copied(body) for body in await read_all(nc, STREAM))
    return [copy for copy in found if copy is not None and copy["seq"] == seq]
