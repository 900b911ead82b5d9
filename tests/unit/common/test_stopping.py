"""Signals while a process starts, runs and ends."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from kerma_common.stopping import MOST_SECONDS, StopSignals

ANSWER = f"kerma: already stopping, which takes {MOST_SECONDS} seconds at most"


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_a_start_and_the_next_is_answered(number: signal.Signals) -> None:
    said: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def say(line: str) -> None:
        loop.call_soon_threadsafe(said.put_nowait, line)

    signals = StopSignals("kerma", say)

    async def start() -> None:
        signals.starting()
        os.kill(os.getpid(), number)
        try:
            await asyncio.Event().wait()
        finally:
            os.kill(os.getpid(), signal.SIGINT)  # while it cleans up
            assert await said.get() == ANSWER

    signals.catch()
    try:
        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(start())
        assert signals.asked.is_set()
    finally:
        signals.release()
    assert said.empty()


async def test_a_signal_after_the_start_cancels_nothing() -> None:
    signals = StopSignals("kerma")
    signals.catch()
    try:
        signals.starting()
        signals.started()
        os.kill(os.getpid(), signal.SIGTERM)
        await signals.asked.wait()
    finally:
        signals.release()


def test_a_terminal_that_is_gone_does_no_harm() -> None:
    def gone(_line: str) -> None:
        raise BrokenPipeError

    StopSignals("kerma", gone).say("stopping").join()
