"""When the provider is asked for its keys."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from kerma_auth.adapters.keycloak.provider_keys import FRESH_SECONDS, PAUSE_SECONDS, ProviderKeys
from kerma_auth.adapters.keycloak.web import NoAnswer
from kit.identity.provider import ec_key, jwk


@dataclass
class Web:
    """A provider with these keys, which may be down."""

    kids: list[str] = field(default_factory=lambda: ["a"])
    down: bool = False
    asked: int = 0

    async def json(self, url: str, most_bytes: int, headers: object = None) -> dict[str, Any]:
        assert url == "https://sso/keys"
        self.asked += 1
        if self.down:
            raise NoAnswer("down")
        return {"keys": [jwk(kid, ec_key()) for kid in self.kids]}


@dataclass
class World:
    """Keys of a provider, at a time in seconds."""

    web: Any = field(default_factory=Web)
    now: float = 1000.0

    def __post_init__(self) -> None:
        self.keys = ProviderKeys(self.web, "https://sso/keys", lambda: self.now)

    async def knows(self, kid: str) -> bool:
        return await self.keys.key(kid) is not None


async def test_a_known_key_is_fetched_once_until_it_is_old() -> None:
    world = World()
    for _ in range(3):
        assert await world.knows("a")
    assert world.web.asked == 1
    world.now += FRESH_SECONDS
    world.web.kids = ["b"]
    assert not await world.knows("a")  # withdrawn
    assert world.web.asked == 2


async def test_who_comes_at_once_waits_for_one_fetch() -> None:
    world = World()
    assert all(await asyncio.gather(*(world.knows("a") for _ in range(5))))
    assert world.web.asked == 1


async def test_an_unknown_key_is_looked_for_with_pauses() -> None:
    world = World()
    assert not await world.knows("b")
    world.web.kids = ["a", "b"]
    for _ in range(3):
        assert not await world.knows("b")
    assert world.web.asked == 1
    world.now += PAUSE_SECONDS
    assert await world.knows("b")
    assert world.web.asked == 2


async def test_while_the_provider_is_down_known_keys_count_however_old() -> None:
    world = World()
    assert await world.knows("a")
    world.web.down = True
    for _ in range(4):
        world.now += FRESH_SECONDS
        assert await world.knows("a")
        with pytest.raises(NoAnswer):
            await world.knows("b")
    assert world.web.asked == 5  # one failure per pause, not two
    world.web.down = False
    world.now += PAUSE_SECONDS
    assert not await world.knows("b")
