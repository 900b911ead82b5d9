"""Requests to the server's API end when they are told to."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from kerma_common.eventlog import api


class LateReply:
    """A client that answers at the very moment when its caller is cancelled, and forgets that."""

    is_connected = True

    async def request(self, *arguments: Any, **options: Any) -> Any:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return SimpleNamespace(data=b"{}")


async def test_a_reply_does_not_undo_a_cancellation() -> None:
    client: Any = LateReply()
    task = asyncio.create_task(api.call(client, "STREAM.INFO.JOBS"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
