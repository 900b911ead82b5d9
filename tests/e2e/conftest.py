"""Streams for services that run as separate processes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.running.apart import Apart, apart
from kit.running.worlds.services import prepare


@pytest.fixture(scope="module")
def bare(
    nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Apart]:
    """Servers and streams, and no program yet."""
    asyncio.run(prepare(nats_url))
    folder: Path = tmp_path_factory.mktemp("apart")
    with apart(folder, nats_url, postgres_url) as made:
        yield made
