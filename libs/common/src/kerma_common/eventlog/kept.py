"""Read a stream once, from its first message to its last."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from nats.js.api import AckPolicy, ConsumerConfig

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

_BATCH = 100


async def stored(client: Client, stream: str) -> AsyncIterator[Msg]:
    """Yield the messages that the stream holds now."""
    pull = await client.jetstream().pull_subscribe(
        "", stream=stream, config=ConsumerConfig(ack_policy=AckPolicy.NONE)
    )
    try:
        left = (await pull.consumer_info()).num_pending or 0
        while left > 0:
            messages = await pull.fetch(min(left, _BATCH))
            left -= len(messages)
            for message in messages:
                yield message
    finally:
        await pull.unsubscribe()


async def read_all(client: Client, stream: str) -> list[bytes]:
    """Return the bodies of all messages that a small stream holds now."""
    return [message.data async for message in stored(client, stream)]
