"""A log that is not the one that was read before is detected, on every adapter."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kerma_allinone.children import NatsChild
from kerma_common.eventlog import api
from kerma_common.eventlog.guard import Checkpoint, check
from kerma_common.eventlog.jetstream import JetStreamLog
from kerma_common.eventlog.port import EventLog
from kerma_common.eventlog.pull import LogWentBackwards
from kerma_common.nats import connection
from kit.events.commits import fresh_subject, write


async def checkpoint_of(log: EventLog) -> Checkpoint:
    """Return the checkpoint of a reader that has read everything."""
    [*_, (made, appended)] = await write(log, fresh_subject(), 3)
    return Checkpoint((await log.state("RUNNER")).epoch, appended.seq, made.id)


async def test_the_log_that_was_read_passes(log: EventLog) -> None:
    checkpoint = await checkpoint_of(log)
    await check(log, "RUNNER", checkpoint)
    await write(log, fresh_subject(), 2)
    await check(log, "RUNNER", checkpoint)


async def test_a_reader_that_has_read_nothing_passes(log: EventLog) -> None:
    await check(log, "RUNNER", Checkpoint((await log.state("RUNNER")).epoch, 0, None))


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("epoch", "another", "epoch is"),
        ("commit", "another", "holds"),
        ("seq", 10**9, "ends at"),
    ],
)
async def test_another_log_is_told(log: EventLog, field: str, value: object, reason: str) -> None:
    other = replace(await checkpoint_of(log), **{field: value})  # type: ignore[arg-type]
    with pytest.raises(LogWentBackwards, match=reason):
        await check(log, "RUNNER", other)


async def test_a_purged_commit_is_no_other_history(own_server: NatsChild) -> None:
    async with connection(own_server.url, name="test") as nc:
        log = JetStreamLog(nc)
        subject = fresh_subject()
        [(first, place), _] = await write(log, subject, 2)
        await write(log, fresh_subject(), 1)
        epoch = (await log.state("RUNNER")).epoch
        await api.call(nc, "STREAM.PURGE.RUNNER", {"filter": str(subject), "keep": 1})
        await check(log, "RUNNER", Checkpoint(epoch, place.seq, first.id))
