"""The auth service beside another one, with users, for a module of tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from kit.running.worlds.people import World, people


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    async with people(nats_url, postgres_url, tmp_path_factory.mktemp("blobs")) as made:
        yield made
