"""Whether a service can work: its bus, its database, its loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from kerma_common.infra import Infra
from kerma_common.projection.catch_up import CatchUp
from kerma_common.projection.loop import LogLoop

PATIENCE_SECONDS = 2.0
"""How long the database may take to answer: whoever asks for readiness waits for few seconds."""


def readiness(
    infra: Infra, loops: Sequence[LogLoop], catch_up: CatchUp
) -> Callable[[], Coroutine[Any, Any, Mapping[str, str]]]:
    """A check that tells what is wrong, by part; empty when nothing is."""

    async def check() -> Mapping[str, str]:
        faults = {}
        if not infra.nats.is_connected:
            faults["nats"] = "not connected"
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), infra.db.connect() as connection:
                await connection.execute(select(1))
        except (SQLAlchemyError, OSError) as error:
            faults["database"] = type(error).__name__
        if not catch_up.done:
            faults["read models"] = ", ".join(map(str, catch_up.behind)) or "not looked at yet"
        for loop in loops:
            if not loop.ready:
                faults[loop.sink.name] = "has been failing"
        return faults

    return check
