"""Import of a YAPTIDE database with jobs as people make them."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import psycopg

from kerma_tools.bench.figure import Figure
from kerma_tools.bench.platform import Platform, environment, platform

JOBS = 10_000
AGAIN = 2000
"""Jobs of the second run's bar: it only has to see that all of them are there."""
USERS = 20
VALUES = 200
_TABLES = """
CREATE TABLE "User" (id int PRIMARY KEY, username varchar NOT NULL, auth_provider varchar NOT NULL);
CREATE TABLE "YaptideUser" (id int PRIMARY KEY, password_hash varchar NOT NULL);
CREATE TABLE "Simulation" (id int PRIMARY KEY, job_id varchar NOT NULL UNIQUE, user_id int,
  start_time timestamptz, end_time timestamptz, title varchar NOT NULL, platform varchar NOT NULL,
  input_type varchar NOT NULL, sim_type varchar NOT NULL, job_state varchar NOT NULL);
CREATE TABLE "Task" (id serial PRIMARY KEY, simulation_id int, task_id int NOT NULL,
  requested_primaries int NOT NULL, simulated_primaries int NOT NULL, task_state varchar NOT NULL,
  start_time timestamptz, end_time timestamptz, last_update_time timestamptz,
  UNIQUE (simulation_id, task_id));
CREATE TABLE "Input" (id serial PRIMARY KEY, simulation_id int, compressed_data bytea);
CREATE TABLE "Estimator" (id int PRIMARY KEY, simulation_id int NOT NULL, name varchar NOT NULL,
  file_name varchar NOT NULL, compressed_data bytea);
CREATE TABLE "Page" (id serial PRIMARY KEY, estimator_id int NOT NULL, page_number int NOT NULL,
  page_name varchar NOT NULL, page_dimension int NOT NULL, compressed_data bytea);
CREATE TABLE "Logfiles" (id serial PRIMARY KEY, simulation_id int NOT NULL, compressed_data bytea);
"""


def importing() -> Iterator[Figure]:
    """Measure a first import, until every job can be read, and a second one without anything new."""
    with platform(slots=0) as found:
        url = _database(found)
        note = "limit; 2 tasks, a project, 2 pages and a log each"
        yield Figure("import, jobs", JOBS / _seconds(found, url), "/s", note, 500.0, 1.0)
        note = "limit; all of them are there already"
        yield Figure("import again, jobs", JOBS / _seconds(found, url), "/s", note, AGAIN, 1.0)


def _seconds(found: Platform, url: str) -> float:
    command = [sys.executable, "-m", "kerma_client.cli", "admin", "import-yaptide"]
    settings = {**environment(), "KERMA_YAPTIDE_DATABASE_URL": url}
    began = time.perf_counter()
    subprocess.run(
        [*command, "--data", str(found.data)], check=True, env=settings, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - began


def _database(found: Platform) -> str:
    """Make and fill a database beside Kerma's; return its URL."""
    own = Path(found.running.settings["KERMA_PG_URL_FILE"]).read_text().strip()
    url = urlsplit(own)._replace(path="/yaptide").geturl()
    with psycopg.connect(own, autocommit=True) as connection:
        connection.execute(b"CREATE DATABASE yaptide")
    dice = random.Random(1)  # noqa: S311 - values of pages
    with psycopg.connect(url) as connection:
        connection.execute(_TABLES.encode())
        for number in range(1, USERS + 1):
            connection.execute(
                b"INSERT INTO \"User\" VALUES (%s, %s, 'YaptideUser')", (number, f"user{number}")
            )
            secret = "scrypt:32768:8:1$salt$" + "00" * 64
            connection.execute(b'INSERT INTO "YaptideUser" VALUES (%s, %s)', (number, secret))
        with connection.cursor() as cursor:
            for number in range(1, JOBS + 1):
                _add_job(cursor, number, dice)
    return url


def _add_job(cursor: psycopg.Cursor, number: int, dice: random.Random) -> None:
    start = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
    end = start + timedelta(minutes=3)
    job = f"{start:%Y%m%d-%H%M%S}-{UUID(int=number)}DIRECT"
    kind = ("DIRECT", "EDITOR", "shieldhit", "COMPLETED")
    cursor.execute(
        b'INSERT INTO "Simulation" VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)',
        (number, job, number % USERS + 1, start, end, f"Run {number}", *kind),
    )
    for task in range(2):
        cursor.execute(
            b'INSERT INTO "Task" (simulation_id, task_id, requested_primaries, simulated_primaries,'
            b" task_state, start_time, end_time, last_update_time)"
            b" VALUES (%s, %s, 5000, 5000, 'COMPLETED', %s, %s, %s)",
            (number, task, start, end, end),
        )
    _add_documents(cursor, number, dice)


def _add_documents(cursor: psycopg.Cursor, number: int, dice: random.Random) -> None:
    zones = [{"uuid": str(UUID(int=k)), "name": f"zone {k}", "number": number} for k in range(20)]
    project = {"hash": f"{number:x}", "beam": {"numberOfParticles": 10_000}, "zones": zones}
    inputs = {
        "input_type": "EDITOR",
        "input_files": {name: f"{name} {number}\n" * 20 for name in ("beam.dat", "geo.dat")},
        "number_of_all_primaries": 10_000,
        "input_json": project,
    }
    cursor.execute(
        b'INSERT INTO "Input" (simulation_id, compressed_data) VALUES (%s, %s)',
        (number, _packed(inputs)),
    )
    cursor.execute(
        b"INSERT INTO \"Estimator\" VALUES (%s, %s, 'z_profile', 'z_profile_', %s)",
        (number, number, _packed({"mc_code_version": "v1"})),
    )
    for page in range(2):
        cursor.execute(
            b'INSERT INTO "Page" (estimator_id, page_number, page_name, page_dimension,'
            b" compressed_data) VALUES (%s, %s, 'DOSE', 1, %s)",
            (number, page, _packed(_page(page, dice))),
        )
    log = {"shieldhit_0001.log": f"Run {number}\n" + "a line of the log\n" * 100}
    cursor.execute(
        b'INSERT INTO "Logfiles" (simulation_id, compressed_data) VALUES (%s, %s)',
        (number, _packed(log)),
    )


def _page(number: int, dice: random.Random) -> object:
    return {
        "dimensions": 1,
        "data": {"name": "DOSE", "unit": "MeV/g", "values": [dice.random() for _ in range(VALUES)]},
        "axis_dim1": {"name": "Z", "unit": "cm", "values": [0.1 * k for k in range(VALUES)]},
        "metadata": {"page_number": str(number), "name": "DOSE"},
    }


def _packed(document: object) -> bytes:
    return gzip.compress(json.dumps(document).encode(), 6)
