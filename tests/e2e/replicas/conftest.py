"""Two replicas behind nginx for one module, and a user."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kit.running import doubled as running
from kit.running.clients.visitor import Visitor
from kit.running.doubled import Doubled


@pytest.fixture(scope="module")
def doubled(
    nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Doubled]:
    with running.doubled(nats_url, postgres_url, tmp_path_factory.mktemp("replicas")) as made:
        yield made


@pytest.fixture
def visitor(doubled: Doubled) -> Iterator[Visitor]:
    made = doubled.visitor().enter()
    yield made
    made.close()
