"""Whether a server answers at all.

A server that refuses writes still greets its clients. One that is stopped or starved of processor
time does not: its clients wait and go on when it resumes, so it must not be restarted.
"""

from __future__ import annotations

import asyncio
import struct

ANSWER_SECONDS = 1.0
_GREETING = {
    "nats": b"",  # the server speaks first (NATS client protocol, INFO)
    "postgres": struct.pack("!ii", 8, 80877103),  # SSLRequest, answered by one byte
}


async def answers(server: str, port: int, seconds: float = ANSWER_SECONDS) -> bool:
    """Return whether the server ("nats" or "postgres") on this loopback port speaks in time."""
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(_GREETING[server])
                return bool(await reader.read(1))
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
