"""Rows of YAPTIDE's tables, read in one snapshot that changes nothing.

Times are seconds since 1970, which can hold everything that PostgreSQL can. Foreign keys have no
indices there, so small columns are read for many jobs at once, and documents by their own ids.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import psycopg
from psycopg import AsyncConnection, IsolationLevel, sql
from psycopg.rows import class_row

from kerma_allinone.yaptide.documents import MOST_COMPRESSED
from kerma_allinone.yaptide.schema import Revision, recognise
from kerma_common.errors import InvalidRequest, Unavailable

JOBS_AT_ONCE = 1000
CONNECT_SECONDS = 10
R = TypeVar("R")


class UserRow(NamedTuple):
    """A user; ``password_hash`` is None where there is none."""

    id: int
    username: str
    auth_provider: str
    password_hash: str | None


class JobRow(NamedTuple):
    """A row of ``Simulation``."""

    id: int
    job_id: str
    user_id: int | None
    start_time: float | None
    end_time: float | None
    title: str
    platform: str
    input_type: str
    sim_type: str
    job_state: str


class TaskRow(NamedTuple):
    """A task; ``task_id`` is its number."""

    id: int
    simulation_id: int
    task_id: int
    requested_primaries: int
    simulated_primaries: int
    task_state: str
    start_time: float | None
    end_time: float | None
    last_update_time: float | None


class DocumentRow(NamedTuple):
    """A row of ``Input`` or ``Logfiles``: ``size`` is that of its document."""

    id: int
    simulation_id: int
    size: int


class EstimatorRow(NamedTuple):
    """An estimator."""

    id: int
    simulation_id: int
    name: str
    size: int


class PageRow(NamedTuple):
    """A page; name and dimension are None in early revisions."""

    id: int
    estimator_id: int
    page_number: int
    page_name: str | None
    page_dimension: int | None
    size: int


@dataclass(slots=True)
class JobRows:
    """A job with the rows that belong to it, in the order of their ids."""

    job: JobRow
    tasks: list[TaskRow] = field(default_factory=list)
    inputs: list[DocumentRow] = field(default_factory=list)
    logs: list[DocumentRow] = field(default_factory=list)
    estimators: list[EstimatorRow] = field(default_factory=list)
    pages: dict[int, list[PageRow]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """The bytes of all documents."""
        documents = sum(row.size for rows in (self.inputs, self.logs) for row in rows)
        pages = sum(page.size for pages in self.pages.values() for page in pages)
        return documents + sum(row.size for row in self.estimators) + pages


_USERS = """
SELECT u.id, u.username, u.auth_provider, y.password_hash FROM "User" u
LEFT JOIN "YaptideUser" y ON y.id = u.id ORDER BY u.id
"""
_JOBS = """
SELECT id, job_id, user_id, extract(epoch FROM start_time)::float8 AS start_time,
extract(epoch FROM end_time)::float8 AS end_time, title, platform, input_type, sim_type, job_state
FROM "Simulation" WHERE id > %s ORDER BY id LIMIT %s
"""
_TASKS = """
SELECT id, simulation_id, task_id, requested_primaries, simulated_primaries, task_state,
extract(epoch FROM start_time)::float8 AS start_time,
extract(epoch FROM end_time)::float8 AS end_time,
extract(epoch FROM last_update_time)::float8 AS last_update_time
FROM "Task" WHERE simulation_id = ANY(%s) ORDER BY task_id
"""
_DOCUMENTS = """
SELECT id, simulation_id, coalesce(octet_length(compressed_data), 0) AS size
FROM {} WHERE simulation_id = ANY(%s) ORDER BY id
"""
_ESTIMATORS = """
SELECT id, simulation_id, name, coalesce(octet_length(compressed_data), 0) AS size
FROM "Estimator" WHERE simulation_id = ANY(%s) ORDER BY id
"""
_PAGES = """
SELECT id, estimator_id, page_number, {} AS page_name, {} AS page_dimension,
coalesce(octet_length(compressed_data), 0) AS size
FROM "Page" WHERE estimator_id = ANY(%s) ORDER BY page_number, id
"""


@dataclass(frozen=True, slots=True)
class Source:
    """An open database."""

    db: AsyncConnection[Any]
    revision: Revision

    async def counts(self, tables: Sequence[str]) -> dict[str, int]:
        """Return the number of rows of tables."""
        found = {}
        for table in tables:
            query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
            row = await (await self.db.execute(query)).fetchone()
            found[table] = row[0] if row else 0
        return found

    async def users(self) -> list[UserRow]:
        """Return all users."""
        return await self._all(UserRow, _USERS)

    async def jobs(self, after: int) -> list[JobRow]:
        """Return the next jobs after an id."""
        return await self._all(JobRow, _JOBS, after, JOBS_AT_ONCE)

    async def rows_of(self, jobs: Sequence[JobRow]) -> list[JobRows]:
        """Return jobs with everything that belongs to them, without documents."""
        found = {job.id: JobRows(job) for job in jobs}
        ids = list(found)
        for task in await self._all(TaskRow, _TASKS, ids):
            found[task.simulation_id].tasks.append(task)
        for table, rows in (("Input", "inputs"), ("Logfiles", "logs")):
            query = sql.SQL(_DOCUMENTS).format(sql.Identifier(table)).as_string(self.db)
            for row in await self._all(DocumentRow, query, ids):
                getattr(found[row.simulation_id], rows).append(row)
        owners = {}
        for estimator in await self._all(EstimatorRow, _ESTIMATORS, ids):
            found[estimator.simulation_id].estimators.append(estimator)
            owners[estimator.id] = found[estimator.simulation_id]
        if owners:
            named = ("page_name", "page_dimension") if self.revision.pages else ("NULL", "NULL")
            for page in await self._all(PageRow, _PAGES.format(*named), list(owners)):
                owners[page.estimator_id].pages.setdefault(page.estimator_id, []).append(page)
        return list(found.values())

    async def documents(self, table: str, ids: Sequence[int]) -> dict[int, bytes | None]:
        """Return documents by the ids of their rows; those that are too large are left out."""
        query = sql.SQL(
            "SELECT id, compressed_data FROM {} WHERE id = ANY(%s)"
            " AND coalesce(octet_length(compressed_data), 0) <= %s"
        ).format(sql.Identifier(table))
        cursor = self.db.cursor(binary=True)
        rows = await (await cursor.execute(query, (list(ids), MOST_COMPRESSED))).fetchall()
        return {row[0]: row[1] for row in rows}

    async def _all(self, kind: type[R], query: str, *values: object) -> list[R]:
        cursor = self.db.cursor(row_factory=class_row(kind))
        await cursor.execute(query.encode(), values or None)
        return await cursor.fetchall()


@asynccontextmanager
async def open_source(url: str) -> AsyncGenerator[Source, None]:
    """Open a database by its URL, as libpq or SQLAlchemy write it.

    Raises InvalidRequest for a database that is not YAPTIDE's, Unavailable while it does not answer.
    """
    scheme, _, rest = url.partition("://")
    if scheme.partition("+")[0] not in ("postgresql", "postgres") or not urlsplit(url).path[1:]:
        raise InvalidRequest("the URL must be postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    try:
        db = await AsyncConnection.connect(
            f"postgresql://{rest}", connect_timeout=CONNECT_SECONDS, client_encoding="UTF8"
        )
    except psycopg.OperationalError as error:
        raise Unavailable(f"the database of YAPTIDE does not answer: {error}") from None
    try:
        async with db:
            await db.set_isolation_level(IsolationLevel.REPEATABLE_READ)
            await db.set_read_only(True)
            yield Source(db, await recognise(db))
    except psycopg.OperationalError as error:
        raise Unavailable(f"the database of YAPTIDE: {error}") from None
