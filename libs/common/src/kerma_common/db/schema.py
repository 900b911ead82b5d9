"""Which schema holds a service's rows: read models are rebuilt beside the old ones, then switched.

`kerma.active_schema` names the live schema of each service. Schemas are `<service>_<n>`, n from 1;
a rebuild fills `<service>_<n+1>` and `activate` switches to it.
"""

import re

from sqlalchemy import Column, MetaData, Table, Text, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.schema import CreateSchema, CreateTable, DropSchema

from kerma_common.errors import ContractViolation

CONTROL_SCHEMA = "kerma"
_metadata = MetaData(schema=CONTROL_SCHEMA)
ACTIVE_SCHEMA = Table(
    "active_schema",
    _metadata,
    Column("service", Text, primary_key=True),
    Column("schema", Text, nullable=False),
)
_NAME = re.compile(r"([a-z][a-z0-9_]*)_([1-9][0-9]{0,5})")


def first_schema(service: str) -> str:
    """The schema a service starts with: `batch-gateway` → `batch_gateway_1`."""
    return f"{service.replace('-', '_')}_1"


def following_schema(schema: str) -> str:
    """The schema a rebuild of `schema` fills."""
    stem, number = _parts(schema)
    return f"{stem}_{number + 1}"


async def active_schema(engine: AsyncEngine, service: str) -> str:
    """The live schema of a service; the first one is recorded at the first call."""
    async with engine.begin() as connection:
        # one lock for all of it: "if not exists" alone fails when two processes start at once
        await connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('kerma schemas'))"))
        await connection.execute(CreateSchema(CONTROL_SCHEMA, if_not_exists=True))
        await connection.execute(CreateTable(ACTIVE_SCHEMA, if_not_exists=True))
        await connection.execute(
            insert(ACTIVE_SCHEMA)
            .values(service=service, schema=first_schema(service))
            .on_conflict_do_nothing()
        )
        query = select(ACTIVE_SCHEMA.c.schema).where(ACTIVE_SCHEMA.c.service == service)
        return str((await connection.execute(query)).scalar_one())


async def activate(connection: AsyncConnection, service: str, schema: str) -> None:
    """Make `schema` the live one, in the caller's transaction."""
    _parts(schema)
    changed = await connection.execute(
        ACTIVE_SCHEMA.update().where(ACTIVE_SCHEMA.c.service == service).values(schema=schema)
    )
    if changed.rowcount != 1:
        raise ContractViolation(f"service {service} has no live schema yet")


async def drop_schema(connection: AsyncConnection, schema: str) -> None:
    """Drop a schema that is not live, with all its rows."""
    _parts(schema)
    query = select(ACTIVE_SCHEMA.c.service).where(ACTIVE_SCHEMA.c.schema == schema)
    if (await connection.execute(query)).first() is not None:
        raise ContractViolation(f"schema {schema} is live")
    await connection.execute(DropSchema(schema, cascade=True, if_exists=True))


def _parts(schema: str) -> tuple[str, int]:
    match = _NAME.fullmatch(schema)
    if match is None:
        raise ContractViolation(f"{schema!r} is not the name of a service's schema")
    return match[1], int(match[2])
