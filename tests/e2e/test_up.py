"""One command on a fresh directory: a real job, restarts, refusals, an orderly end."""

from __future__ import annotations

import asyncio
import signal
import socket
import stat
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import orjson
import psutil
import psycopg
import pytest

from kerma_allinone.children import postgres_server
from kit.events.chosen import told
from kit.events.rows import differences, drop, dump
from kit.inputs.projects import submission
from kit.programs.family import PATIENCE, engines_in, eventually, processes_in, runs
from kit.running.clients.visitor import Visitor
from kit.running.whole import Whole, whole

PRIMARIES, TASKS = 400, 4


@pytest.fixture(scope="module")
def kerma() -> Iterator[Whole]:
    """A Kerma that the tests of this module share, in their order."""
    with whole() as made:
        made.up()
        yield made


@pytest.fixture(scope="module")
def visitor(kerma: Whole) -> Iterator[Visitor]:
    visitor = kerma.visitor().enter()
    yield visitor
    visitor.close()


@pytest.fixture(scope="module")
def job(visitor: Visitor) -> str:
    return visitor.submit(submission(PRIMARIES, TASKS))


def test_a_real_job_is_completed(visitor: Visitor, job: str) -> None:
    shown = visitor.until(job, "COMPLETED")
    tasks = shown["job_tasks_status"]
    assert [task["task_state"] for task in tasks] == ["COMPLETED"] * TASKS
    assert sum(task["simulated_primaries"] for task in tasks) == PRIMARIES
    body = orjson.loads(visitor.results(job))
    assert [e["name"] for e in body["estimators"]] == ["depth_dose", "dose_map", "proton_fluence"]
    for estimator in body["estimators"]:
        assert estimator["metadata"]["primaries"] == str(PRIMARIES)
        assert estimator["metadata"]["partial"] == "false"
        data = estimator["pages"][0]["data"]
        assert len(data["values"]) == len(data["errors"])
        assert max(data["values"]) > 0 < max(data["errors"])


def test_a_second_one_on_the_same_data_refuses(kerma: Whole, job: str) -> None:
    second = kerma.start()
    assert second.process.wait(PATIENCE) == 1
    data, pid = kerma.data, kerma.running.pid
    text = f"kerma: {data} is in use by process {pid}; stop it or choose another directory\n"
    assert second.said == text
    assert httpx.get(kerma.running.url).status_code == 200


def test_a_taken_port_is_told_before_anything_starts(kerma: Whole) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        other = kerma.folder / "other"
        refused = kerma.start(other, port)
        assert refused.process.wait(PATIENCE) == 1
    assert refused.said == (
        f"kerma: port {port} on 127.0.0.1: Address already in use; choose another with --port\n"
    )
    assert not other.exists()


def test_every_obstacle_is_told_at_once(kerma: Whole) -> None:
    wrong = kerma.folder / "file"
    wrong.touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = kerma.start(wrong / "data", port)
        assert refused.process.wait(PATIENCE) == 1
    lines = refused.said.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"kerma: port {port} on 127.0.0.1: Address already in use")
    assert lines[1] == f"{wrong} is not a folder; choose another place with --data"


def test_secrets_are_closed_to_others(kerma: Whole) -> None:
    secrets = ("nats-url", "pg-url", "master-key", "update-keys-secret")
    for name in (*secrets, "logs/kerma.log", "logs/worker.log"):
        assert stat.S_IMODE((kerma.data / name).stat().st_mode) == 0o600, name
    secret = (kerma.data / "nats-url").read_text().split(":")[2].split("@")[0]
    shown = [word for process in processes_in(kerma.folder) for word in process.cmdline()]
    assert not [word for word in shown if secret in word]


def test_readiness_is_that_of_every_part_and_names_what_is_missing(kerma: Whole) -> None:
    def asked() -> httpx.Response:
        return httpx.get(f"{kerma.running.url}/internal/readyz", timeout=PATIENCE)

    assert (asked().status_code, asked().json()) == (200, {"message": "ready"})
    postgres = kerma.child("pgdata")
    assert postgres is not None
    server = [postgres, *postgres.children(recursive=True)]
    for process in server:
        process.suspend()
    try:
        answer = asked()
    finally:
        for process in server:
            process.resume()
    assert answer.status_code == 503
    services = ("auth", "jobs", "runner", "results", "batch")
    assert set(answer.json()["faults"]) >= {f"{name}.database" for name in services}
    eventually(lambda: asked().status_code == 200, PATIENCE, "readiness")


def test_a_restart_keeps_jobs_results_and_sessions(kerma: Whole, job: str) -> None:
    visitor = kerma.visitor().enter()
    visitor.until(job, "COMPLETED")
    before = [visitor.results(job), visitor.get("/jobs", job).content]
    inputs = visitor.get("/inputs", job).content
    cookies = visitor.http.cookies
    visitor.close()
    assert kerma.program is not None
    kerma.program.end()
    kerma.nobody_left(0)
    kerma.up()
    again = kerma.visitor()
    again.http.cookies = cookies
    assert again.http.get("/auth/status").json()["username"] == "visitor"
    assert [again.results(job), again.get("/jobs", job).content] == before
    assert again.get("/inputs", job).content == inputs
    again.close()


def test_racing_commands_have_one_outcome(kerma: Whole) -> None:
    visitor = kerma.visitor().enter()
    job = visitor.submit(submission(2_000_000, 2))
    visitor.until(job, "RUNNING")

    def command(n: int) -> tuple[str, int]:
        path = "/user/simulations" if n % 2 else "/jobs/direct"
        return path, visitor.http.delete(path, params={"job_id": job}).status_code

    with ThreadPoolExecutor(25) as pool:
        answers = Counter(pool.map(command, range(50)))
    # refused before the end of the job, done once; afterwards there is nothing to delete
    assert {code for _, code in answers} <= {200, 403, 404}
    assert answers["/jobs/direct", 200] >= 1
    if visitor.get("/jobs", job).status_code == 200:
        visitor.until(job, "CANCELED")
        assert visitor.http.delete("/user/simulations", params={"job_id": job}).status_code == 200
    assert visitor.get("/jobs", job).status_code == 404
    eventually(lambda: not _engines(kerma), PATIENCE, "no engine")
    # a job just cancelled is gone for users at once, in the log when its last task has stopped
    eventually(lambda: "JobDeleted" in _types(kerma, job), PATIENCE, "the deletion")
    story = [told_of.event for told_of in told(kerma.place, job)]
    events = Counter(event.type for event in story)
    names = ("JobCancellationRequested", "JobCanceled", "JobDeleted")
    assert [events[name] for name in names] == [1, 1, 1]
    assert events["JobDeletionRequested"] <= 1
    together = [event.data["tasks"] for event in story if event.type == "TasksCanceled"]
    waited = sum(stop - first for ranges in together for first, stop in ranges)
    assert events["TaskCanceled"] + waited == 2
    assert not events["TaskSucceeded"]
    visitor.close()


def test_everything_but_the_vault_comes_back_from_the_log(kerma: Whole, job: str) -> None:
    visitor = kerma.visitor().enter()
    canceled = visitor.submit(submission(2_000_000, 3))
    visitor.http.delete("/jobs/direct", params={"job_id": canceled})
    visitor.until(canceled, "CANCELED")
    deleted = visitor.submit(submission(100, 2))
    visitor.until(deleted, "COMPLETED")
    gone = visitor.http.delete("/user/simulations", params={"job_id": deleted})
    assert gone.status_code == 200
    paths = ("/results", "/estimators", "/logfiles", "/jobs", "/inputs")
    before = [visitor.get(path, job).json() for path in paths]
    body = visitor.results(job)
    url = (kerma.data / "pg-url").read_text()
    eventually(lambda: not _owed(dump(url)), PATIENCE, "no command is owed")
    rows, story = dump(url), told(kerma.place, job)
    assert len([table for table, found in rows.items() if found]) > 10
    visitor.close()
    assert kerma.program is not None
    kerma.program.end()
    assert {"auth", "jobs", "jobs_process", "runner", "results"} <= set(asyncio.run(_drop(kerma)))
    kerma.up()
    url = (kerma.data / "pg-url").read_text()
    with suppress(AssertionError):  # the next line names the rows
        eventually(lambda: not differences(rows, dump(url)), PATIENCE)
    assert differences(rows, dump(url)) == []
    again = kerma.visitor().enter()
    assert again.results(job) == body
    assert [again.get(path, job).json() for path in paths] == before
    again.close()
    assert told(kerma.place, job) == story


def test_data_of_an_older_revision_is_projected_anew(kerma: Whole, job: str) -> None:
    visitor = kerma.visitor().enter()
    paths = ("/results", "/jobs", "/inputs")
    before = [visitor.get(path, job).json() for path in paths]
    visitor.close()
    assert kerma.program is not None
    kerma.program.end()
    asyncio.run(_make_older(kerma))
    kerma.up()
    again = kerma.visitor().enter()
    assert [again.get(path, job).json() for path in paths] == before
    more = again.submit(submission(100, 1))
    again.until(more, "COMPLETED")
    again.close()


async def _make_older(kerma: Whole) -> None:
    """Make tables as they were before read models were stamped, one column short in each service."""
    missing = {
        "auth": '"user" DROP COLUMN source',
        "jobs": "job DROP COLUMN title",
        "runner": "worker DROP COLUMN substitutes",
        "results": "page DROP COLUMN unit",
        "batch": "cluster DROP COLUMN scheduler",
    }
    async with (
        postgres_server(kerma.data / "postgres") as server,
        await psycopg.AsyncConnection.connect(server.url) as connection,
    ):
        for schema, change in missing.items():
            for statement in (f"DROP TABLE {schema}.read_model", f"ALTER TABLE {schema}.{change}"):
                await connection.execute(statement.encode())
        for schema in ("jobs", "runner", "results"):
            await connection.execute(f"DROP TABLE {schema}_process.alembic_version".encode())


def _owed(rows: dict[str, list[str]]) -> bool:
    return any(found for table, found in rows.items() if table.endswith(".process_outbox"))


async def _drop(kerma: Whole) -> list[str]:
    async with postgres_server(kerma.data / "postgres") as server:
        return drop(server.url)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_signal_ends_all_children(kerma: Whole, number: signal.Signals) -> None:
    if kerma.program is None or not kerma.program.alive:
        kerma.up()
    program = kerma.program
    assert program is not None
    visitor = kerma.visitor().enter()
    # one of the two slots, and too long to end by itself
    job = visitor.submit(submission(2_000_000, 1))
    visitor.until(job, "RUNNING")
    visitor.close()
    family = psutil.Process(program.process.pid).children(recursive=True)
    names = {process.name() for process in family}
    assert {"nats-server", "postgres"} <= names
    eventually(lambda: _engines(kerma), PATIENCE, "an engine")
    program.end(number)
    kerma.nobody_left(0)
    assert not [process for process in family if runs(process)]


def test_work_given_back_at_the_stop_starts_at_once(kerma: Whole) -> None:
    kerma.up()
    visitor = kerma.visitor().enter()
    listed = visitor.http.get("/v1/jobs").json()["items"]
    running = [job["id"] for job in listed if job["state"] not in {"COMPLETED", "CANCELED"}]
    assert len(running) == 2
    # before a lease of 45 s could have ended
    eventually(lambda: _engines(kerma), 40, "an engine")
    for job in running:
        assert visitor.http.delete("/jobs/direct", params={"job_id": job}).status_code == 200
        visitor.until(job, "CANCELED")
    eventually(lambda: not _engines(kerma), PATIENCE, "no engine")
    visitor.close()


def test_a_deaf_child_does_not_delay_the_end(kerma: Whole) -> None:
    postgres = kerma.child("pgdata")
    assert postgres is not None
    assert kerma.program is not None
    postgres.suspend()
    kerma.program.process.send_signal(signal.SIGTERM)
    kerma.program.process.wait(PATIENCE)
    kerma.nobody_left(PATIENCE)


def _types(kerma: Whole, job: str) -> set[str]:
    return {told_of.event.type for told_of in told(kerma.place, job)}


def _engines(kerma: Whole) -> list[psutil.Process]:
    scratch = str(kerma.data / "scratch")
    found = []
    for process in engines_in(kerma.data):
        try:
            if process.cwd().startswith(scratch):
                found.append(process)
        except psutil.Error:
            continue
    return found
