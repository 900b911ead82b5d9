"""A NATS server that refuses a stream for ever after a full disk is detected and restarted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path

import pytest

from kerma_allinone.children import healing, nats_server
from kerma_allinone.children.answering import answers
from kerma_allinone.children.healing import Healing
from kerma_allinone.children.supervision import keep
from kerma_common.errors import OutcomeUnknown, Unavailable
from kerma_common.eventlog.jetstream import JetStreamLog
from kerma_common.eventlog.streams import PROBES, apply_streams
from kerma_common.nats import connection
from kerma_common.room import free_bytes
from kit.events.projecting import record, running, submitted
from kit.programs.family import PATIENCE
from kit.running.small_disk import MB, SmallDisk, small_disk


@pytest.fixture
def disk(servers_folder: Path) -> Iterator[SmallDisk]:
    with small_disk(servers_folder / "small", 64) as made:
        yield made


class Told:
    """A service's report on its servers, from its log alone."""

    def __init__(self, log: JetStreamLog) -> None:
        self._log = log

    def refusing(self) -> Mapping[str, str]:
        found = self._log.refusals.faults()
        return {"nats": str(found)} if found else {}


async def test_a_stream_that_refuses_after_a_full_disk_takes_writes_again(
    disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(healing.PATIENCE, "nats", 0.1)

    def has_room() -> bool:
        return free_bytes(disk.folder) > 16 * MB

    async with (
        nats_server(disk.folder / "nats") as server,
        connection(server.url, name="test") as client,
    ):
        await apply_streams(client)
        log = JetStreamLog(client, ack_timeout=0.3)
        await record(log, submitted("before"))
        disk.fill()
        with pytest.raises((Unavailable, OutcomeUnknown)):
            await _append_for_ever(log)
        assert set(log.refusals.faults()) == {"JOBS"}
        disk.free()
        # there is room, the server answers, other streams work: this one stays refused
        await client.jetstream().publish("probe.test", b"", stream=PROBES)
        with pytest.raises((Unavailable, OutcomeUnknown)):
            await record(log, submitted("freed"))
        healed = Healing(
            [Told(log)], {"nats": server}, has_room, lambda name: answers(name, server.port)
        )
        former = server.child.pid
        async with running(keep(server, has_room), healed.run()):
            async with asyncio.timeout(PATIENCE):
                while log.refusals.faults() or server.child.pid == former:
                    await asyncio.sleep(0.05)
            await _appended(log)
        assert not log.refusals.faults()


async def _append_for_ever(log: JetStreamLog) -> None:
    for n in count():
        await record(log, submitted(f"full-{n}", title="t" * 2000))


async def _appended(log: JetStreamLog) -> None:
    """Append as soon as the client is connected again."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await record(log, submitted("after"))
            except (Unavailable, OutcomeUnknown):
                await asyncio.sleep(0.05)
            else:
                return
