"""The schema of a service's read models: created from the declarations, and recognised later.

Read models are not migrated. Each is stamped with its revision and the shape of its tables. If a
start finds another stamp, or none, another release made the rows, and they are rebuilt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Index, MetaData, Table, UniqueConstraint, insert, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateSchema

from kerma_common.errors import ContractViolation
from kerma_common.projection.retries.failures import LoopHalted
from kerma_common.projection.rows.tables import READ_MODEL, projection_tables

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from kerma_common.projection.router import Projection

STORAGE = "storage"
"""Key of a column's ``info``: how PostgreSQL stores its long values (EXTERNAL: uncompressed)."""
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped


class Standing(StrEnum):
    """What a start finds."""

    ABSENT = "ABSENT"
    CURRENT = "CURRENT"
    OTHER = "OTHER"


def shape_of(projection: Projection) -> str:
    """Return a hash of the tables that a read model needs, including those of the loop."""
    lines = [line for table in _tables([projection]) for line in _lines(table)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def create_read_models(
    connection: Connection, schema: str, projections: Sequence[Projection]
) -> None:
    """Create a schema with the tables of the projections, stamped."""
    connection.execute(CreateSchema(schema, if_not_exists=True))
    placed = MetaData()
    for table in (*_tables(projections), READ_MODEL):
        table.to_metadata(placed, schema=schema)
    placed.create_all(connection, checkfirst=False)
    for table in placed.sorted_tables:
        for column in table.columns:
            if storage := column.info.get(STORAGE):
                connection.execute(_set_storage(schema, table.name, column.name, storage))
    stamps = [{"name": p.name, "revision": p.revision, "shape": shape_of(p)} for p in projections]
    connection.execute(insert(placed.tables[f"{schema}.{READ_MODEL.name}"]), stamps)


def _set_storage(schema: str, table: str, column: str, storage: str) -> Any:
    quote = _DIALECT.identifier_preparer.quote
    return text(
        f"ALTER TABLE {quote(schema)}.{quote(table)}"
        f" ALTER COLUMN {quote(column)} SET STORAGE {storage}"
    )


async def standing(
    conn: AsyncConnection, schema: str, projections: Sequence[Projection]
) -> Standing:
    """Compare the tables in ``schema`` with the declarations of these projections.

    Raises ContractViolation if a later revision made them: an older release, started by mistake,
    must not drop the rows of a newer one.
    """
    tables = await conn.scalars(
        text("SELECT table_name FROM information_schema.tables WHERE table_schema = :schema"),
        {"schema": schema},
    )
    names = set(tables)
    if not names:
        return Standing.ABSENT
    if READ_MODEL.name not in names:
        return Standing.OTHER
    stamps = {row.name: row for row in await conn.execute(READ_MODEL.select())}
    for projection in projections:
        stamp = stamps.get(projection.name)
        if stamp is not None and stamp.revision > projection.revision:
            raise ContractViolation(
                f"read model {projection.name} of {schema} is at revision {stamp.revision}; this"
                f" release knows {projection.revision}"
            )
    found = {name: (row.revision, row.shape) for name, row in stamps.items()}
    wanted = {p.name: (p.revision, shape_of(p)) for p in projections}
    return Standing.CURRENT if found == wanted else Standing.OTHER


async def recognise(conn: AsyncConnection, projection: Projection) -> None:
    """Raise LoopHalted if the tables are not those of ``projection``.

    Another release replaced them while this one was running.
    """
    stamp = (
        await conn.execute(READ_MODEL.select().where(READ_MODEL.c.name == projection.name))
    ).first()
    if stamp is None or (stamp.revision, stamp.shape) != (
        projection.revision,
        shape_of(projection),
    ):
        raise LoopHalted(f"the tables of {projection.name} are those of another release")


def _tables(projections: Iterable[Projection]) -> list[Table]:
    """Return every table once, by name."""
    own = MetaData()
    projection_tables(own)
    every = (own, *(projection.metadata for projection in projections))
    found = {table.name: table for metadata in every for table in metadata.sorted_tables}
    return [found[name] for name in sorted(found)]


def _lines(table: Table) -> Iterable[str]:
    for column in table.columns:
        default = getattr(column.server_default, "arg", None)
        facts = (
            table.name,
            column.name,
            column.type.compile(dialect=_DIALECT),
            "null" if column.nullable else "not null",
            f"default {default}",
            f"storage {column.info.get(STORAGE)}",
        )
        yield " ".join(facts)
    yield f"{table.name} key {', '.join(table.primary_key.columns.keys())}"
    yield from sorted(_index(table, index) for index in table.indexes)
    yield from sorted(
        f"{table.name} unique {', '.join(constraint.columns.keys())}"
        for constraint in table.constraints
        if isinstance(constraint, UniqueConstraint)
    )


def _index(table: Table, index: Index) -> str:
    what = ", ".join(str(expression) for expression in index.expressions)
    where = index.dialect_options["postgresql"]["where"]
    return f"{table.name} index {index.unique} {what} where {where}"
