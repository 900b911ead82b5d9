"""Migrations, schemas and engines on a real server."""

import asyncio
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Generator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import Column, Integer, MetaData, QueuePool, Table, insert, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from kerma_common.db.engine import autocommit, create_engine
from kerma_common.db.migrations import migrate
from kerma_common.errors import ContractViolation
from kerma_common.settings import PgSettings

THING = Table("thing", MetaData(), Column("n", Integer, primary_key=True))
REVISION = """
import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = {down!r}
branch_labels = depends_on = None


def upgrade():
    {body}
"""


def _revision(package: Path, revision: str, down: str | None, body: str) -> None:
    versions = package / "migrations" / "versions"
    versions.mkdir(parents=True, exist_ok=True)
    (versions / f"{revision}_test.py").write_text(
        textwrap.dedent(REVISION).format(revision=revision, down=down, body=body)
    )


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A service's package with one migration."""
    made = tmp_path / f"service_{tmp_path.name}"
    made.mkdir()
    (made / "__init__.py").touch()
    body = 'op.create_table("thing", sa.Column("n", sa.Integer, primary_key=True))'
    _revision(made, "0001", None, body)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return made


@pytest.fixture
async def engine(postgres_url: str) -> AsyncIterator[AsyncEngine]:
    made = create_engine(PgSettings(url=postgres_url), "test", "mapped_1")
    yield made
    await made.dispose()


async def _columns(engine: AsyncEngine, schema: str) -> list[str]:
    query = text(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = :schema AND table_name = 'thing' ORDER BY 1"
    )
    async with engine.connect() as connection:
        return list((await connection.execute(query, {"schema": schema})).scalars())


async def test_each_schema_is_migrated_on_its_own(
    postgres_url: str, package: Path, engine: AsyncEngine
) -> None:
    await migrate(postgres_url, package.name, "apart_1")
    _revision(package, "0002", "0001", 'op.add_column("thing", sa.Column("m", sa.Integer))')
    await migrate(postgres_url, package.name, "apart_2")
    assert await _columns(engine, "apart_1") == ["n"]
    assert await _columns(engine, "apart_2") == ["m", "n"]
    for _ in range(2):
        await migrate(postgres_url, package.name, "apart_1")
    assert await _columns(engine, "apart_1") == ["m", "n"]
    assert await _columns(engine, "public") == []


async def test_starting_at_once_is_safe(
    postgres_url: str, package: Path, engine: AsyncEngine
) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(migrate(postgres_url, package.name, "raced_1"))
    assert await _columns(engine, "raced_1") == ["n"]


async def test_a_failed_revision_leaves_nothing(
    postgres_url: str, package: Path, engine: AsyncEngine
) -> None:
    _revision(package, "0002", "0001", 'op.execute("SELECT 1 / 0")')
    with pytest.raises(DBAPIError):
        await migrate(postgres_url, package.name, "failed_1")
    assert await _columns(engine, "failed_1") == []


async def test_a_schema_of_a_newer_release_is_refused(postgres_url: str, package: Path) -> None:
    _revision(package, "0002", "0001", 'op.add_column("thing", sa.Column("m", sa.Integer))')
    await migrate(postgres_url, package.name, "newer_1")
    (package / "migrations" / "versions" / "0002_test.py").unlink()
    with pytest.raises(ContractViolation, match="0002, unknown to this release"):
        await migrate(postgres_url, package.name, "newer_1")


async def test_a_package_without_migrations_is_refused(postgres_url: str) -> None:
    for name in ("kerma_common", "no_such_package"):
        with pytest.raises(ContractViolation, match=name):
            await migrate(postgres_url, name, "none_1")


async def test_tables_without_a_schema_are_found_in_the_engines(
    postgres_url: str, package: Path, engine: AsyncEngine
) -> None:
    await migrate(postgres_url, package.name, "mapped_1")
    async with engine.begin() as connection:
        await connection.execute(insert(THING).values(n=3))
        name = await connection.execute(text("SELECT current_setting('application_name')"))
        assert name.scalar_one() == "test"
    async with engine.connect() as connection:
        found = await connection.execute(text("SELECT n FROM mapped_1.thing"))
        assert found.scalar_one() == 3
        assert (await connection.execute(select(THING.c.n))).scalar_one() == 3


class _CancelledAt:
    """A call whose task is cancelled when it waits for the nth time, and the next time."""

    def __init__(self, call: Coroutine[Any, Any, None], numbers: Collection[int]) -> None:
        self._call, self._numbers = call, numbers
        self.waits = 0

    def __await__(self) -> Generator[Any, Any, None]:
        steps = self._call.__await__()
        resume: Callable[[], Any] = partial(next, steps)
        while True:
            try:
                waiting_for = resume()
            except StopIteration:
                return
            self.waits += 1
            if self.waits in self._numbers and (task := asyncio.current_task()):
                task.cancel()
            try:
                yield waiting_for
                resume = partial(next, steps)
            except BaseException as error:
                resume = partial(steps.throw, error)


async def _write(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("SELECT pg_sleep(0.001)"))


async def _read(engine: AsyncEngine) -> None:
    async with autocommit(engine).connect() as connection:
        await connection.execute(text("SELECT pg_sleep(0.001)"))


@pytest.mark.parametrize("call", [_write, _read])
@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("used", [False, True], ids=["new pool", "used pool"])
async def test_a_cancellation_leaves_no_connection_behind(
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
    call: Callable[[AsyncEngine], Coroutine[Any, Any, None]],
    twice: bool,
    used: bool,
) -> None:
    monkeypatch.setattr("psycopg.waiting.MAX_BUSY_TIME", -1.0)  # as if the loop were always busy
    for wait in count(1):
        engine = create_engine(PgSettings(url=postgres_url), "test", "public")
        if used:
            await _read(engine)
        cancelled = _CancelledAt(call(engine), {wait, wait + twice})
        (outcome,) = await asyncio.gather(_awaited(cancelled), return_exceptions=True)
        assert outcome is None or isinstance(outcome, asyncio.CancelledError)
        assert cast(QueuePool, engine.pool).checkedout() == 0, f"at wait {wait}"
        async with engine.begin() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            assert raw is not None
            assert not raw.autocommit, f"at wait {wait}"
        await engine.dispose()
        if cancelled.waits < wait:
            break
    assert wait > 2


async def _awaited(call: _CancelledAt) -> None:
    await call


async def test_errors_of_statements_do_not_show_their_parameters(engine: AsyncEngine) -> None:
    """Their texts are logged, and parameters hold names and hashes of passwords."""
    with pytest.raises(DBAPIError) as raised:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT CAST(:secret AS integer) + 1"), {"secret": "zq"})
    assert "hidden" in str(raised.value).partition("\n[SQL")[2]
