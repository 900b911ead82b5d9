"""The leases of a process are renewed together, and each ends by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from kerma_common.db.engine import in_schema
from kerma_common.projection import lease as leadership
from kerma_common.projection.lease import RENEWAL, Fenced, Lease, renewals
from kerma_common.projection.rows.tables import LEASE
from kit.events.projecting import schema

ONE, TWO = (Lease(name, "here", 1) for name in ("one", "two"))
OLD = datetime(2026, 1, 1, tzinfo=UTC)


class Time:
    """The monotonic clock, moved by the test."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(leadership, "time", clock)
    return clock


@pytest.fixture
async def db(postgres_url: str) -> AsyncIterator[AsyncEngine]:
    async with schema(postgres_url) as engine:
        async with engine.begin() as conn:
            for lease in (ONE, TWO):
                row = {"name": lease.name, "holder": lease.holder, "fence": lease.fence}
                await conn.execute(sa.insert(LEASE).values(**row, until=OLD))
        yield engine


async def aged(db: AsyncEngine) -> None:
    """Let all leases end."""
    async with db.begin() as conn:
        await conn.execute(sa.update(LEASE).values(until=OLD))


async def valid(db: AsyncEngine) -> set[str]:
    """Return the names of the leases that have not ended."""
    async with db.connect() as conn:
        return set(await conn.scalars(sa.select(LEASE.c.name).where(LEASE.c.until > OLD)))


async def test_the_first_to_ask_renews_for_all(db: AsyncEngine, clock: Time) -> None:
    for lease in (ONE, TWO):
        await leadership.renew(db, lease)
    assert await valid(db) == {"one", "two"}
    clock.now += RENEWAL
    await aged(db)
    await leadership.renew(db, TWO)
    assert await valid(db) == {"one", "two"}
    await aged(db)
    await leadership.renew(db, ONE)  # it was renewed a moment ago
    assert await valid(db) == set()
    clock.now += RENEWAL
    await leadership.renew(db, ONE)
    assert await valid(db) == {"one", "two"}


async def test_a_deadline_is_that_of_a_lease(db: AsyncEngine) -> None:
    await leadership.renew(db, ONE)
    async with db.connect() as conn:
        left = await conn.scalar(
            sa.select(LEASE.c.until - sa.func.clock_timestamp()).where(LEASE.c.name == "one")
        )
    assert left is not None
    assert timedelta() < left <= leadership.TTL


async def test_nobody_renews_for_a_holder_that_asks_no_more(db: AsyncEngine, clock: Time) -> None:
    await leadership.renew(db, TWO)
    for _ in range(2):
        clock.now += RENEWAL
        await aged(db)
        await leadership.renew(db, ONE)
    assert await valid(db) == {"one"}


async def test_a_lease_that_was_given_back_is_not_renewed(db: AsyncEngine, clock: Time) -> None:
    for lease in (ONE, TWO):
        await leadership.renew(db, lease)
    await leadership.release(db, TWO)
    await aged(db)
    clock.now += RENEWAL
    await leadership.renew(db, ONE)
    assert await valid(db) == {"one"}


@pytest.mark.parametrize("change", [{"holder": "there"}, {"fence": 2}])
async def test_a_lost_lease_takes_no_other_with_it(
    db: AsyncEngine, clock: Time, change: dict[str, object]
) -> None:
    for lease in (ONE, TWO):
        await leadership.renew(db, lease)
    async with db.begin() as conn:
        await conn.execute(
            sa.update(LEASE).where(LEASE.c.name == "two").values(until=OLD, **change)
        )
    clock.now += RENEWAL
    await leadership.renew(db, ONE)
    assert await valid(db) == {"one"}
    with pytest.raises(Fenced):
        await leadership.renew(db, TWO)
    clock.now += RENEWAL
    await aged(db)
    await leadership.renew(db, ONE)
    assert await valid(db) == {"one"}


async def test_a_locked_lease_holds_up_no_other(db: AsyncEngine, clock: Time) -> None:
    """A standby may stop while it looks at the row."""
    for lease in (ONE, TWO):
        await leadership.renew(db, lease)
    clock.now += RENEWAL
    await aged(db)
    async with db.begin() as standby:
        await standby.execute(sa.select(LEASE).where(LEASE.c.name == "two").with_for_update())
        await leadership.renew(db, ONE)
        assert await valid(db) == {"one"}
        assert not await renewals(db).renew(db, TWO)
    await leadership.renew(db, TWO)
    assert await valid(db) == {"one", "two"}


async def test_schemas_of_one_database_share_a_statement(db: AsyncEngine, clock: Time) -> None:
    other = in_schema(db, "other")
    async with db.begin() as conn:
        await conn.execute(sa.schema.CreateSchema("other"))
        await conn.execute(sa.text("CREATE TABLE other.lease (LIKE jobs.lease)"))
        await conn.execute(sa.text("INSERT INTO other.lease SELECT * FROM jobs.lease"))
    await leadership.renew(db, ONE)
    await leadership.renew(other, TWO)
    for engine in (db, other):
        await aged(engine)
    clock.now += RENEWAL
    await leadership.renew(other, TWO)
    assert await valid(db) == {"one"}
    assert await valid(other) == {"two"}


async def test_a_schema_that_is_gone_holds_up_no_other(db: AsyncEngine, clock: Time) -> None:
    gone = in_schema(db, "gone")
    with pytest.raises(sa.exc.ProgrammingError):
        await leadership.renew(gone, TWO)
    await leadership.renew(db, ONE)
    assert await valid(db) == {"one"}
