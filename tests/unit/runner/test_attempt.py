"""An attempt that is stopped."""

from __future__ import annotations

import asyncio
import gc
from typing import Any, cast

import pytest

from kerma_runner.worker.attempt import Attempt
from kerma_runner.worker.outcomes import Stop, Stopped
from kerma_sandbox.forks.calls import CallFailed


async def killed() -> None:
    """Fail as a call does whose process is killed when it is cancelled."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise CallFailed("the process was killed") from None


async def test_a_call_that_fails_because_it_is_stopped_leaves_no_error_behind() -> None:
    unheard: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unheard.append(context["message"]))
    nothing = cast("Any", None)
    attempt = Attempt(nothing, "worker", nothing, started=nothing, on_progress=nothing)
    attempt.stop(Stop.CANCEL)
    with pytest.raises(Stopped):
        await attempt._unless_stopped(killed())
    gc.collect()
    assert unheard == []
