"""Requests end when they are cancelled."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from nats.aio.client import Client

from kerma_common.nats import _Client


async def test_a_reply_does_not_undo_a_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    async def late(*_: Any) -> Any:
        """Reply at the moment the caller is cancelled, and swallow the cancellation."""
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return SimpleNamespace(data=b"{}")

    monkeypatch.setattr(Client, "request", late)
    task = asyncio.create_task(_Client().request("ask"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_task_group_that_failed_before_is_no_cancellation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def prompt(*_: Any) -> Any:
        return SimpleNamespace(data=b"answer")

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError

    monkeypatch.setattr(Client, "request", prompt)
    with pytest.raises(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
    assert (await _Client().request("ask")).data == b"answer"
