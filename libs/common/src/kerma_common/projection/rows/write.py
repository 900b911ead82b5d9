"""Apply folded operations: one statement per table, kind and set of columns.

The rows of a statement travel as one JSON parameter that PostgreSQL unpacks by the table's row
type. Measured on the same rows, this is three times as fast as psycopg's ``executemany`` at a tenth
of its CPU time; COPY into a staging table is equally fast but needs that table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import orjson
from psycopg import AsyncConnection, sql

from kerma_common.precedence import give_way
from kerma_common.projection.rows.fold import Columns, Folded, Phase
from kerma_common.projection.rows.tables import schema_of

if TYPE_CHECKING:
    import sqlalchemy.ext.asyncio as sa

    from kerma_common.projection.rows.ops import Op, Series

# Statements are bytes: psycopg converts and plans the same bytes only once.
OPERATIONS = 200
"""Operations folded between two calls of ``give_way``."""
ROWS = 250
"""Rows of one statement; packing more takes longer than a request should wait."""
_OPTIONS = orjson.OPT_NON_STR_KEYS
Batch = tuple[bytes, list[dict[str, Any]]]


async def write(conn: sa.AsyncConnection, operations: Iterable[Op]) -> None:
    """Apply operations inside the open transaction of ``conn``, as if one by one."""
    phases = await fold_giving_way(operations)
    if not phases:
        return
    driver = cast("AsyncConnection", (await conn.get_raw_connection()).driver_connection)
    async with driver.pipeline():  # one round trip for all statements
        await send(driver, schema_of(conn), phases)


async def fold_giving_way(operations: Iterable[Op]) -> list[Phase]:
    """Fold operations, and let requests run first in between."""
    folded = Folded()
    for number, op in enumerate(operations, start=1):
        folded.add(op)
        if number % OPERATIONS == 0:
            await give_way()
    return folded.phases


async def send(driver: AsyncConnection, schema: str, phases: Iterable[Phase]) -> None:
    """Send the statements of ``phases`` in the open pipeline of ``driver``.

    The server works on the first rows while the next are packed.
    """
    for phase in phases:
        if phase.series is not None:
            await driver.execute(*_series(schema, phase.series))
            continue
        for statement, rows in _statements(schema, phase):
            for start in range(0, len(rows), ROWS):
                some = rows[start : start + ROWS]
                payload = orjson.dumps(some, default=_plain, option=_OPTIONS).decode()
                await driver.execute(statement, (payload,))
                await give_way()


def _series(schema: str, op: Series) -> tuple[bytes, tuple[str, int, int]]:
    columns = tuple(sorted(op.values)) if op.replace else ()
    statement = _numbered(
        schema, op.table.name, tuple(op.key), op.number, tuple(op.values), columns
    )
    row = orjson.dumps([{**op.key, **op.values}], default=_plain, option=_OPTIONS).decode()
    return statement, (row, op.first, op.stop - 1)


def _statements(schema: str, phase: Phase) -> Iterable[Batch]:
    deletes: list[dict[str, Any]] = []
    updates: dict[Columns, list[dict[str, Any]]] = {}
    upserts: dict[Columns, list[dict[str, Any]]] = {}
    for name, pending in phase.rows.items():
        named = dict(zip(phase.columns, name, strict=True))
        if pending.deleted:
            deletes.append(named)
        if pending.update:
            row = {"k": named, "v": pending.update} if phase.moves else named | pending.update
            updates.setdefault(tuple(sorted(pending.update)), []).append(row)
        if pending.upsert is not None:
            row = named | pending.upsert
            upserts.setdefault(tuple(sorted(pending.upsert)), []).append(row)
    at = (schema, phase.table.name, phase.columns)
    if deletes:
        yield _delete(*at), deletes
    for columns, rows in updates.items():
        yield (_move if phase.moves else _update)(*at, columns), rows
    for columns, rows in upserts.items():
        yield _upsert(*at, columns), rows


@lru_cache(maxsize=1024)
def _delete(schema: str, table: str, key: Columns) -> bytes:
    return (
        sql.SQL("DELETE FROM {t} AS t USING {rows} AS k WHERE {match}")
        .format(t=sql.Identifier(schema, table), rows=_rows(schema, table), match=_match(key))
        .as_bytes(None)
    )


@lru_cache(maxsize=1024)
def _update(schema: str, table: str, key: Columns, columns: Columns) -> bytes:
    return (
        sql.SQL("UPDATE {t} AS t SET {sets} FROM {rows} AS k WHERE {match}")
        .format(
            t=sql.Identifier(schema, table),
            sets=_sets("k", columns),
            rows=_rows(schema, table),
            match=_match(key),
        )
        .as_bytes(None)
    )


@lru_cache(maxsize=1024)
def _move(schema: str, table: str, key: Columns, columns: Columns) -> bytes:
    return (
        sql.SQL(
            "UPDATE {t} AS t SET {sets} FROM json_array_elements(%s::json) AS e,"
            " json_populate_record(NULL::{t}, e->'k') AS k,"
            " json_populate_record(NULL::{t}, e->'v') AS v WHERE {match}"
        )
        .format(t=sql.Identifier(schema, table), sets=_sets("v", columns), match=_match(key))
        .as_bytes(None)
    )


@lru_cache(maxsize=1024)
def _upsert(schema: str, table: str, key: Columns, columns: Columns) -> bytes:
    names = _list(sql.Identifier(c) for c in (*key, *columns))
    action = sql.SQL("UPDATE SET {}").format(_sets("excluded", columns))
    return (
        sql.SQL(
            "INSERT INTO {t} ({names}) SELECT {names} FROM {rows} ON CONFLICT ({key}) DO {action}"
        )
        .format(
            t=sql.Identifier(schema, table),
            names=names,
            rows=_rows(schema, table),
            key=_list(sql.Identifier(c) for c in key),
            action=action if columns else sql.SQL("NOTHING"),
        )
        .as_bytes(None)
    )


@lru_cache(maxsize=1024)
def _numbered(
    schema: str, table: str, key: Columns, number: str, values: Columns, replaced: Columns
) -> bytes:
    constant = [sql.Identifier(c) for c in (*key, *values)]
    return (
        sql.SQL(
            "INSERT INTO {t} ({names}, {number}) SELECT {constant}, n"
            " FROM {rows} AS r, generate_series(%s::int, %s::int) AS n"
            " ON CONFLICT ({primary}) DO {action}"
        )
        .format(
            t=sql.Identifier(schema, table),
            names=_list(constant),
            number=sql.Identifier(number),
            constant=_list(sql.SQL("r.{}").format(c) for c in constant),
            rows=_rows(schema, table),
            primary=_list(sql.Identifier(c) for c in (*key, number)),
            action=sql.SQL("UPDATE SET {}").format(_sets("excluded", replaced))
            if replaced
            else sql.SQL("NOTHING"),
        )
        .as_bytes(None)
    )


def _rows(schema: str, table: str) -> sql.Composed:
    return sql.SQL("json_populate_recordset(NULL::{}, %s::json)").format(
        sql.Identifier(schema, table)
    )


def _match(key: Columns) -> sql.Composed:
    return sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(sql.Identifier("t", c), sql.Identifier("k", c)) for c in key
    )


def _sets(source: str, columns: Columns) -> sql.Composed:
    return _list(
        sql.SQL("{} = {}").format(sql.Identifier(c), sql.Identifier(source, c)) for c in columns
    )


def _list(parts: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(list(parts))


def _plain(value: object) -> object:
    """Return the form that PostgreSQL reads of a value that orjson does not know."""
    if isinstance(value, bytes | bytearray | memoryview):
        return "\\x" + bytes(value).hex()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} cannot be stored in a row")
