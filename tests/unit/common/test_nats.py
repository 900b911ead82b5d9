"""Requests end when they are cancelled."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from nats.aio.client import Client

from kerma_common.nats import KNOWN_NAME_BYTES, _Client, _known_name


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


HEADERS = (
    b"",
    b"\r\n",
    b"Nats-Msg-Id: 1-a\r\nKerma-Types: JobSubmitted.1\r\n\r\n",
    b"Close:value\r\nTab:\tvalue\t\r\n  Space : value\r\n",
    b"Two words: value\r\nNo colon\r\n: no name\r\nEmpty:\r\n",
    b"Twice: first\r\nTwice: second\r\nColons: a: b:c\r\n",
    b"L\xf6ss: value\r\nBytes: \xff\xfe\r\nText: L\xc3\xb6ss\r\nSplit: a\nOther: b\r\n",
    b"L" * 70 + b": value\r\n",
    b"In\x0bside: value\r\nUnit\x1fseparator: value\r\nNull\x00: value\r\n",
)


@pytest.mark.parametrize("raw", HEADERS)
def test_headers_are_read_as_the_library_reads_them(raw: bytes) -> None:
    assert _Client._parse_header_lines(raw) == Client._parse_header_lines(raw)


def test_long_names_of_headers_are_not_kept() -> None:
    for size, kept in ((KNOWN_NAME_BYTES, 1), (KNOWN_NAME_BYTES + 1, 0)):
        _known_name.cache_clear()
        name = "N" * size
        assert _Client._parse_header_lines(f" {name} : v\r\n".encode()) == {name: "v"}
        assert _known_name.cache_info().currsize == kept
