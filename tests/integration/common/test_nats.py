"""The connection when the server stalls, or sends what cannot be parsed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import nats.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from kerma_allinone.children import NatsChild
from kerma_common import nats as bus
from kit.running.servers import standing_still

PATIENCE = 20.0
Connect = Callable[[], AbstractAsyncContextManager[Client]]


@pytest.fixture
def connect(nats_url: str) -> Connect:
    """Open connections that answer requests to ``ask`` themselves; fail if one ends fatally."""

    @asynccontextmanager
    async def connected() -> AsyncIterator[Client]:
        async def answer(message: Msg) -> None:
            await message.respond(message.data)

        ends: list[str] = []
        async with bus.connection(nats_url, name="still", on_fatal=ends.append) as client:
            await client.subscribe("ask", cb=answer)
            yield client
        assert not ends

    return connected


@pytest.fixture
async def client(connect: Connect) -> AsyncIterator[Client]:
    """Such a connection."""
    async with connect() as connected:
        yield connected


async def answers(client: Client) -> None:
    """Wait until a request is answered."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                reply = await client.request("ask", b"again", timeout=1.0)
            except nats.errors.Error:
                continue
            assert reply.data == b"again"
            return


async def test_answers_are_heard_after_a_flush_was_given_up(
    client: Client, nats_child: NatsChild
) -> None:
    with standing_still(nats_child), pytest.raises(nats.errors.TimeoutError):
        await client.flush(timeout=0.2)  # type: ignore[arg-type]  # seconds, may be a fraction
    await answers(client)
    await client.flush()
    assert client.stats["reconnects"] == 0


async def test_a_server_that_stands_still_for_long_is_connected_to_anew(
    monkeypatch: pytest.MonkeyPatch, nats_child: NatsChild, connect: Connect
) -> None:
    monkeypatch.setattr(bus, "PING_SECONDS", 0.1)
    async with connect() as client:
        with standing_still(nats_child):
            async with asyncio.timeout(PATIENCE):
                while client.is_connected:
                    await asyncio.sleep(0.05)
        await answers(client)
        assert client.stats["reconnects"] >= 1


async def test_a_connection_whose_reading_fails_is_made_anew(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = asyncio.Event()

    async def fails(_data: bytes) -> None:
        failed.set()
        monkeypatch.undo()
        raise LookupError("nobody foresaw it")

    monkeypatch.setattr(client._ps, "parse", fails)
    await client.publish("ask", b"anything")
    async with asyncio.timeout(PATIENCE):
        await failed.wait()
    await answers(client)
    assert client.stats["reconnects"] == 1
