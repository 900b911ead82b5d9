"""Reading a small stream from its first message to its last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nats.js.api import AckPolicy, ConsumerConfig

if TYPE_CHECKING:
    from nats.aio.client import Client

_BATCH = 100


async def read_all(client: Client, stream: str) -> list[bytes]:
    """The bodies of what the stream holds now."""
    pull = await client.jetstream().pull_subscribe(
        "", stream=stream, config=ConsumerConfig(ack_policy=AckPolicy.NONE)
    )
    try:
        left = (await pull.consumer_info()).num_pending or 0
        found: list[bytes] = []
        while left > 0:
            messages = await pull.fetch(min(left, _BATCH))
            left -= len(messages)
            found += [message.data for message in messages]
        return found
    finally:
        await pull.unsubscribe()
