"""Rows of a YAPTIDE database, written as its backend writes them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from werkzeug.security import generate_password_hash

from kit.yaptide.schema import FILE_NAMES, NEWEST, statements

BEGIN = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def packed(value: Any) -> bytes:
    """Return a document as the backend compresses it."""
    return gzip.compress(json.dumps(value).encode())


def page(number: int, name: str, values: list[float], unit: str = "MeV/g") -> dict[str, Any]:
    """Return a page as a worker sends it; of one dimension unless it has a single value."""
    made: dict[str, Any] = {
        "dimensions": 1 if len(values) > 1 else 0,
        "data": {"name": name, "unit": unit, "values": values},
        "metadata": {
            "page_number": str(number),
            "name": name,
            "dettyp": name,
            "unit": unit,
            "page_filter_name": "protons",
        },
    }
    if len(values) > 1:
        centres = [0.25 + 0.5 * k for k in range(len(values))]
        made["axis_dim1"] = {"name": "Position (Z)", "unit": "cm", "values": centres}
    return made


@dataclass
class Old:
    """A job as its rows say; ``estimators`` maps names to metadata and pages."""

    number: int
    job_id: str
    user: str
    title: str
    state: str
    platform: str
    sim_type: str
    start: datetime
    end: datetime | None
    tasks: list[dict[str, Any]]
    input: dict[str, Any] | None
    estimators: list[tuple[str, dict[str, Any], list[dict[str, Any]]]]
    logs: list[dict[str, Any]] = field(default_factory=list)


class Yaptide:
    """A database of one revision."""

    def __init__(self, url: str, revision: int = NEWEST) -> None:
        self.url, self.revision = url, revision
        self.db = psycopg.connect(url, autocommit=True)
        for statement in statements(revision):
            self.db.execute(statement.encode())
        self.users: dict[str, int] = {}
        self.jobs: list[Old] = []

    def close(self) -> None:
        self.db.close()

    def insert(self, table: str, **values: Any) -> int:
        """Insert a row and return its id."""
        query = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING id").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(sql.Placeholder() * len(values)),
        )
        row = self.db.execute(query, list(values.values())).fetchone()
        assert row is not None
        number: int = row[0]
        return number

    def add_user(self, name: str, password: str | None = None, *, hashed: str = "") -> int:
        """Add a user with a password, or with a hash of any form."""
        number = self.insert("User", username=name, auth_provider="YaptideUser")
        if password is not None or hashed:
            stored = hashed or generate_password_hash(password or "")
            self.insert("YaptideUser", id=number, password_hash=stored)
        self.users[name] = number
        return number

    def add_keycloak_user(self, name: str) -> int:
        number = self.insert("User", username=name, auth_provider="KeycloakUser")
        self.insert("KeycloakUser", id=number, cert="a certificate", private_key="A PRIVATE KEY")
        self.users[name] = number
        return number

    def add_job(self, user: str, state: str = "COMPLETED", **changes: Any) -> Old:
        """Add a job of an editor project with two tasks, two estimators and logs."""
        number = len(self.jobs) + 1
        platform = changes.pop("platform", "DIRECT")
        start = BEGIN + timedelta(hours=number)
        job = Old(
            number=0,
            job_id=f"{start:%Y%m%d-%H%M%S}-{UUID(int=number)}{platform}",
            user=user,
            title=f"Proton pencil beam {number}",
            state=state,
            platform=platform,
            sim_type="shieldhit",
            start=start,
            end=start + timedelta(minutes=5) if state == "COMPLETED" else None,
            tasks=[_task(index, start, state) for index in range(2)],
            input=_input(),
            estimators=_estimators() if state == "COMPLETED" else [],
            logs=[{"shieldhit_0001.log": f"<b>run {number}</b>\n"}, {"merge.log": "done\n"}],
        )
        for name, value in changes.items():
            setattr(job, name, value)
        self._store(job)
        self.jobs.append(job)
        return job

    def _store(self, job: Old) -> None:
        job.number = self.insert(
            "Simulation",
            job_id=job.job_id,
            user_id=self.users[job.user],
            start_time=job.start,
            end_time=job.end,
            title=job.title,
            platform=job.platform,
            input_type="EDITOR",
            sim_type=job.sim_type,
            job_state=job.state,
        )
        if job.platform == "DIRECT":
            self.insert("CelerySimulation", id=job.number, merge_id="m")
        for task in job.tasks:
            self.insert("Task", simulation_id=job.number, platform=job.platform, **task)
        if job.input is not None:
            self.add_document("Input", job.number, job.input)
        for name, metadata, pages in job.estimators:
            self.add_estimator(job.number, name, metadata, pages)
        for log in job.logs:
            self.add_document("Logfiles", job.number, log)

    def add_document(self, table: str, job: int, value: Any) -> int:
        return self.insert(table, simulation_id=job, compressed_data=packed(value))

    def add_estimator(
        self, job: int, name: str, metadata: Any, pages: Iterable[Mapping[str, Any]]
    ) -> int:
        more = {"file_name": f"{name}_"} if self.revision >= FILE_NAMES else {}
        number = self.insert(
            "Estimator", simulation_id=job, name=name, compressed_data=packed(metadata), **more
        )
        for value in pages:
            self.add_page(number, value)
        return number

    def add_page(self, estimator: int, value: Any, **changes: Any) -> int:
        """Add a page; ``changes`` are columns whose values differ from those of the document."""
        values: dict[str, Any] = {"page_number": 0, "page_name": "", "page_dimension": 0}
        if isinstance(value, dict):
            metadata = value["metadata"]
            values |= {"page_number": int(metadata["page_number"]), "page_name": metadata["name"]}
            values["page_dimension"] = value["dimensions"]
        values |= {"compressed_data": packed(value), **changes}
        if self.revision < NEWEST:
            del values["page_name"], values["page_dimension"]
        return self.insert("Page", estimator_id=estimator, **values)


def _task(index: int, start: datetime, state: str) -> dict[str, Any]:
    ended = state in ("COMPLETED", "FAILED")
    return {
        "task_id": index,
        "requested_primaries": 6,
        "simulated_primaries": 6 if state == "COMPLETED" else index,
        "task_state": state if state in ("COMPLETED", "FAILED", "CANCELED") else "PENDING",
        "start_time": start + timedelta(seconds=2),
        "end_time": start + timedelta(seconds=60 + index) if ended else None,
        "last_update_time": start + timedelta(seconds=61 + index),
    }


def _input() -> dict[str, Any]:
    names = ["z_profile", "dose"]
    return {
        "input_type": "EDITOR",
        "input_files": {"beam.dat": "NSTAT 6 0\n", "geo.dat": "µ\n"},
        "number_of_all_primaries": 13,
        "input_json": {
            "hash": "abc",
            "beam": {"numberOfParticles": 13, "energy": 150.0},
            "scoringManager": {"outputs": [{"name": name} for name in names]},
        },
    }


def _estimators() -> list[tuple[str, dict[str, Any], list[dict[str, Any]]]]:
    return [
        (
            "z_profile",
            {"mc_code_version": "v1"},
            [page(0, "DOSE", [0.0, 0.5]), page(2, "LET", [1.5])],
        ),
        ("dose", {"mc_code_version": "v1", "tail": "é"}, [page(0, "DOSE", [0.1, 1e-9, 3.0])]),
    ]
