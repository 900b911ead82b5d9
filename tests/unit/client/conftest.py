"""Both clients, and pauses that take no time."""

from __future__ import annotations

import pytest

from kit.running.clients.answers import Ask, async_ask, sync_ask


@pytest.fixture(params=[sync_ask, async_ask], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest, pauses: list[float]) -> Ask:
    chosen: Ask = request.param
    return chosen


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that the client makes; they take no time."""
    made: list[float] = []

    async def pause(seconds: float) -> None:
        made.append(seconds)

    monkeypatch.setattr("kerma_client.client.sleep", made.append)
    monkeypatch.setattr("kerma_client.aio.asleep", pause)
    return made
