"""A Kerma and a YAPTIDE database for a module of tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from kerma_allinone.children import PostgresChild
from kit.running.servers import fresh_database
from kit.running.worlds.moving import Kerma, moving
from kit.yaptide.database import Yaptide


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kerma_services(
    nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Kerma]:
    """Auth, jobs and results; the environment holds their settings."""
    async with moving(nats_url, postgres_url, tmp_path_factory.mktemp("blobs")) as found:
        yield found


@pytest.fixture
def url_file(yaptide: Yaptide, tmp_path: Path) -> Path:
    """A file with the URL of the database, as SQLAlchemy writes it."""
    file = tmp_path / "url"
    file.write_text(yaptide.url.replace("postgresql://", "postgresql+psycopg://") + "\n")
    return file


@pytest.fixture
def yaptide(postgres_child: PostgresChild) -> Iterator[Yaptide]:
    """An empty database of the newest revision."""
    with fresh_database(postgres_child) as url:
        made = Yaptide(url)
        yield made
        made.close()
