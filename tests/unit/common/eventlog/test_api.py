"""Requests to the server's API end when they are told to."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

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


async def test_a_task_group_that_failed_before_is_no_cancellation() -> None:
    class Prompt:
        is_connected = True

        async def request(self, *arguments: Any, **options: Any) -> Any:
            return SimpleNamespace(data=b'{"config": {}}')

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError

    client: Any = Prompt()
    with pytest.raises(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
    assert await api.call(client, "STREAM.INFO.JOBS") == {"config": {}}
