"""Which revision of YAPTIDE's schema a database has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection

from kerma_common.errors import InvalidRequest

REVISIONS = ("06c32cf470e7", "3f9d1f1bec46", "4027fc5cbcb1", "41149fa64bd2", "5003b9acb1f4")
"""Revisions of YAPTIDE's migrations, oldest first."""
_COLUMNS: Mapping[str, str] = {
    "User": "id username auth_provider",
    "YaptideUser": "id password_hash",
    "Simulation": "id job_id user_id start_time end_time title platform input_type sim_type job_state",
    "Task": "id simulation_id task_id requested_primaries simulated_primaries task_state start_time "
    "end_time last_update_time",
    "Input": "id simulation_id compressed_data",
    "Estimator": "id simulation_id name compressed_data",
    "Page": "id estimator_id page_number compressed_data",
    "Logfiles": "id simulation_id compressed_data",
}
"""What is read from every revision."""
TABLES = tuple(_COLUMNS)
_LISTED = """
SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()
"""


@dataclass(frozen=True, slots=True)
class Revision:
    """``names``: estimators have the names of outputs; ``pages``: pages have name and dimension."""

    name: str
    names: bool
    pages: bool


async def recognise(db: AsyncConnection[Any]) -> Revision:
    """Return the revision of a database. Raises InvalidRequest for anything else.

    Columns decide: YAPTIDE creates tables at its start without noting a revision.
    """
    rows = await (await db.execute(_LISTED)).fetchall()
    columns: dict[str, set[str]] = {}
    for table, column in rows:
        columns.setdefault(table, set()).add(column)
    missing = [table for table in _COLUMNS if table not in columns]
    if missing:
        raise InvalidRequest(
            f"this is not a database of YAPTIDE: it has no table {', '.join(missing)}"
        )
    for table, listed in _COLUMNS.items():
        if gone := sorted(set(listed.split()) - columns[table]):
            raise InvalidRequest(
                f"this revision of YAPTIDE's schema is not known: {table} has no {', '.join(gone)}"
            )
    await _check_stamp(db, columns)
    await _check_encoding(db)
    pages = {"page_name", "page_dimension"} <= columns["Page"]
    names = "file_name" in columns["Estimator"]
    hashes = "update_key_hash" in columns["Simulation"]
    return Revision(REVISIONS[4 if pages else 3 if names else 0 if hashes else 2], names, pages)


async def _check_stamp(db: AsyncConnection[Any], columns: Mapping[str, set[str]]) -> None:
    if "version_num" not in columns.get("alembic_version", ()):
        return
    for (stamp,) in await (await db.execute("SELECT version_num FROM alembic_version")).fetchall():
        if stamp not in REVISIONS:
            raise InvalidRequest(
                f"the database has revision {stamp} of YAPTIDE's schema, which this release does not "
                f"know; it knows {', '.join(REVISIONS)}"
            )


async def _check_encoding(db: AsyncConnection[Any]) -> None:
    row = await (await db.execute("SHOW server_encoding")).fetchone()
    if row is not None and row[0] == "SQL_ASCII":
        raise InvalidRequest(
            "the encoding of the database, SQL_ASCII, says nothing about its texts"
        )
