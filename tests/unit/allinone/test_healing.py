"""Which server is restarted, and when."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from kerma_allinone.children.answering import answers
from kerma_allinone.children.healing import PATIENCE, PAUSE_SECONDS, Healing


@dataclass
class Server:
    """A child that records how it was stopped."""

    stopped: list[signal.Signals] = field(default_factory=list)
    returncode: int | None = None

    @property
    def child(self) -> Any:
        return self

    async def restart(self) -> None:
        raise AssertionError

    async def stop(self, number: signal.Signals) -> None:
        self.stopped.append(number)


class World:
    """A service's reports, a disk and a clock."""

    def __init__(self) -> None:
        self.told: dict[str, str] = {}
        self.room = True
        self.now = 0.0
        self.nats, self.postgres = Server(), Server()
        servers = cast("Any", {"nats": self.nats, "postgres": self.postgres})
        self.answering = True
        self.healing = Healing([self], servers, lambda: self.room, self.answers, lambda: self.now)

    async def answers(self, name: str) -> bool:
        assert name in self.told
        return self.answering

    def refusing(self) -> Mapping[str, str]:
        return self.told

    async def after(self, seconds: float) -> None:
        self.now += seconds
        await self.healing.look()


async def test_a_server_that_refuses_for_a_while_is_started_again() -> None:
    world = World()
    world.told = {"nats": "JOBS took no write"}
    await world.after(0)
    await world.after(PATIENCE["nats"] - 1)
    assert not world.nats.stopped
    await world.after(1)
    assert world.nats.stopped == [signal.SIGTERM]
    assert not world.postgres.stopped
    await world.after(PAUSE_SECONDS - 1)
    assert len(world.nats.stopped) == 1
    await world.after(PATIENCE["nats"])
    assert len(world.nats.stopped) == 2


async def test_nothing_is_ended_while_the_disk_is_full_or_after_it_works() -> None:
    world = World()
    world.told, world.room = {"postgres": "DiskFull"}, False
    await world.after(0)
    await world.after(1000)
    world.room = True
    await world.after(1)
    await world.after(PATIENCE["postgres"] - 1)
    world.told = {}
    await world.after(1)
    world.told = {"postgres": "DiskFull"}
    await world.after(1)
    assert not world.postgres.stopped
    await world.after(PATIENCE["postgres"])
    assert world.postgres.stopped == [signal.SIGINT]


async def test_a_server_that_has_ended_is_not_ended_again() -> None:
    world = World()
    world.told, world.nats.returncode = {"nats": "not connected"}, 1
    await world.after(0)
    await world.after(1000)
    assert not world.nats.stopped


async def test_a_server_that_answers_nobody_is_left_alone() -> None:
    world = World()
    world.told = {"nats": "JOBS took no write"}
    world.answering = False
    await world.after(0)
    await world.after(10 * PATIENCE["nats"])
    assert not world.nats.stopped
    world.answering = True
    await world.after(0)
    await world.after(PATIENCE["nats"] - 1)
    assert not world.nats.stopped
    await world.after(1)
    assert world.nats.stopped == [signal.SIGTERM]


async def test_servers_are_asked_whether_they_answer() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"INFO {}")
        await writer.drain()
        await reader.read()
        writer.close()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    for handle, expected in ((greet, True), (hang, False)):
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            for name in PATIENCE:
                assert await answers(name, port, seconds=0.5) is expected
    assert not await answers("nats", port, seconds=0.5)
