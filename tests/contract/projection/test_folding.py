"""Folded operations on a real database have the same effect as one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from kerma_common.errors import ContractViolation
from kerma_common.projection.rows.fold import fold
from kerma_common.projection.rows.ops import Delete, Op, Series, Update, Upsert
from kerma_common.projection.rows.write import write
from kit.events.projecting import schema

METADATA = sa.MetaData()
PAIR = sa.Table(
    "pair",
    METADATA,
    sa.Column("a", sa.Integer, primary_key=True),
    sa.Column("b", sa.Text, primary_key=True),
    sa.Column("x", sa.Integer),
    sa.Column("y", sa.Text),
)
PLAIN = sa.Table(
    "order",
    METADATA,
    sa.Column("select", sa.Integer, primary_key=True),
    sa.Column("x", sa.Integer),
)
KINDS = sa.Table(
    "kinds",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("body", sa.LargeBinary),
    sa.Column("at", sa.DateTime(timezone=True)),
    sa.Column("data", sa.JSON),
    sa.Column("flags", sa.ARRAY(sa.Text)),
    sa.Column("exact", sa.Numeric),
    sa.Column("real", sa.Double),
    sa.Column("big", sa.BigInteger),
    sa.Column("yes", sa.Boolean),
)
COLUMNS = {PAIR: ("a", "b", "x", "y"), PLAIN: ("select", "x")}
DOMAIN: dict[str, Any] = {
    "a": st.integers(0, 2),
    "b": st.sampled_from(["p", "q"]),
    "x": st.integers(0, 2),
    "y": st.sampled_from(["é'", '"\\', "{}"]),
    "select": st.integers(0, 3),
}


@st.composite
def operation(draw: st.DrawFn) -> Op:
    table = draw(st.sampled_from([PAIR, PLAIN]))
    key = [column.name for column in table.primary_key]
    others = [name for name in COLUMNS[table] if name not in key]

    def some(names: list[str], least: int) -> dict[str, Any]:
        chosen = draw(st.lists(st.sampled_from(names), min_size=least, unique=True))
        return {name: draw(DOMAIN[name]) for name in chosen}

    kind = draw(
        st.sampled_from(
            ["upsert", "upsert", "update", "update by key", "move", "delete", "wipe", "series"]
        )
    )
    named = {name: draw(DOMAIN[name]) for name in key}
    match kind:
        case "upsert":
            return Upsert(table, named, some(others, 0))
        case "update by key":
            return Update(table, named, some(others, 1))
        case "update":
            return Update(table, some(list(COLUMNS[table]), 1), some(others, 1))
        case "move":
            return Update(table, {"x": draw(DOMAIN["x"])}, {"x": draw(DOMAIN["x"])})
        case "series":
            number = "a" if table is PAIR else "select"
            first, stop = named.pop(number), draw(DOMAIN[number])
            return Series(table, named, number, first, stop, some(others, 1), draw(st.booleans()))
        case "wipe":
            return Delete(table, {"x": draw(DOMAIN["x"])})
    return Delete(table, draw(st.sampled_from([named, some(list(COLUMNS[table]), 1)])))


class _Insert(Upsert):
    """An upsert that leaves a row as it is."""


def _singles(op: Op) -> list[Upsert | Update | Delete]:
    if not isinstance(op, Series):
        return [op]
    kind = Upsert if op.replace else _Insert
    return [kind(op.table, {**op.key, op.number: n}, op.values) for n in range(op.first, op.stop)]


def one_by_one(operations: list[Op]) -> dict[str, set[tuple[Any, ...]]]:
    """The oracle: rows in dictionaries, every operation by itself."""
    tables: dict[sa.Table, list[dict[str, Any]]] = {PAIR: [], PLAIN: []}
    for op in chain.from_iterable(map(_singles, operations)):
        found = tables[op.table]
        naming = op.key if isinstance(op, Upsert) else op.where
        matching = [r for r in found if all(r[c] == v for c, v in naming.items())]
        if isinstance(op, _Insert) and matching:
            continue
        if isinstance(op, Delete):
            tables[op.table] = [r for r in found if r not in matching]
            continue
        if isinstance(op, Upsert) and not matching:
            matching = [dict.fromkeys(COLUMNS[op.table]) | dict(op.key)]
            found += matching
        for row in matching:
            row.update(op.values)
    return {t.name: {tuple(r[c] for c in COLUMNS[t]) for r in rs} for t, rs in tables.items()}


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.fixture(scope="module")
def db(postgres_url: str, runner: asyncio.Runner) -> Iterator[AsyncEngine]:
    context = schema(postgres_url, "folding", METADATA)
    yield runner.run(context.__aenter__())
    runner.run(context.__aexit__(None, None, None))


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(operations=st.lists(operation(), max_size=25), cut=st.integers(0, 25))
def test_folding_equals_one_by_one(
    runner: asyncio.Runner, db: AsyncEngine, operations: list[Op], cut: int
) -> None:
    async def folded() -> dict[str, set[tuple[Any, ...]]]:
        async with db.connect() as conn:
            await write(conn, operations[:cut])
            await write(conn, operations[cut:])
            found = {
                t.name: {tuple(r) for r in await conn.execute(sa.select(t))} for t in (PAIR, PLAIN)
            }
            await conn.rollback()
            return found

    assert runner.run(folded()) == one_by_one(operations)


def test_values_of_every_kind_come_back(runner: asyncio.Runner, db: AsyncEngine) -> None:
    values = {
        "body": bytes(range(256)),
        "at": datetime(2026, 8, 1, 10, 15, 0, 123456, tzinfo=UTC),
        "data": {"nested": [1, None, "ü"]},
        "flags": ["a,b", "{c}", ""],
        "exact": Decimal("1.10"),
        "real": 0.1 + 0.2,
        "big": 2**62 + 1,
        "yes": False,
    }

    async def stored() -> dict[str, Any]:
        async with db.connect() as conn:
            await write(conn, [Upsert(KINDS, {"id": 1}, values)])
            row = (await conn.execute(sa.select(KINDS))).one()
            await conn.rollback()
            return dict(row._mapping)

    assert runner.run(stored()) == {"id": 1} | values


def test_many_events_of_one_row_are_one_row() -> None:
    operations: list[Op] = [Upsert(PLAIN, {"select": n % 3}, {"x": n}) for n in range(300)]
    [phase] = fold(operations)
    assert {name: pending.upsert for name, pending in phase.rows.items()} == {
        (0,): {"x": 297},
        (1,): {"x": 298},
        (2,): {"x": 299},
    }


def test_an_upsert_needs_the_whole_key() -> None:
    with pytest.raises(ContractViolation, match="primary key"):
        fold([Upsert(PAIR, {"a": 1}, {"x": 1})])
