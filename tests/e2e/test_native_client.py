"""Both clients against a running Kerma; `tests/integration/test_api_document.py` runs the examples."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from kerma_client.aio import AsyncKermaClient
from kerma_client.client import KermaClient
from kerma_client.errors import ApiError
from kit.inputs.projects import demo_project
from kit.programs.family import PATIENCE, eventually
from kit.running.clients.browsers import as_operator
from kit.running.clients.command_line import run
from kit.running.clients.visitor import Visitor
from kit.running.whole import Whole, whole


@pytest.fixture(scope="module")
def kerma() -> Iterator[Whole]:
    with whole() as made:
        made.up()
        yield made


@pytest.fixture(scope="module")
def token(kerma: Whole) -> Iterator[str]:
    visitor: Visitor = kerma.visitor().enter()
    made = visitor.http.post("/v1/tokens", json={"label": "docs", "days": 1})
    yield made.json()["token"]
    visitor.close()


def test_what_was_submitted_is_read_and_deleted(kerma: Whole, token: str) -> None:
    with KermaClient(kerma.running.url, token=token) as client:
        project = demo_project(100)
        made = client.submit({"engine": "geant4", "tasks": 2, "title": "water", "project": project})
        assert client.wait(made, timeout=PATIENCE).simulated == 100
        (job,) = client.jobs(text="water")
        assert [task.state for task in client.tasks(job.id)] == ["COMPLETED"] * 2
        assert client.inputs(job.id).project == demo_project(100)
        first = client.estimators(job.id)[0]
        page = client.page(job.id, first.number, first.pages[0][0])
        assert page == client.results(job.id)[0].pages[0]
        client.delete(job.id)
        client.delete(job.id)
        assert list(client.jobs()) == []


def test_a_submission_from_asynchronous_code(kerma: Whole, token: str) -> None:
    async def run() -> None:
        async with AsyncKermaClient(kerma.running.url, token=token) as client:
            body = {"engine": "geant4", "project": demo_project(1_000_000)}
            job = await client.submit(body, key="once")
            assert await client.submit(body, key="once") == job
            assert await client.cancel(job) == "CANCELED"
            assert (await client.wait(job, timeout=60)).state == "CANCELED"

    asyncio.run(run())


def test_an_operator_makes_and_removes_a_user_whose_jobs_go_too(kerma: Whole) -> None:
    url = kerma.running.url
    with KermaClient(url) as operator, KermaClient(url) as grace:
        operator.register("olga", "long enough for a test")
        with as_operator(kerma):
            ran = run("admin", "users", "grant", "olga", "operator")
        assert ran.code == 0, ran.stderr
        operator.login("olga", "long enough for a test")
        made = operator.create_user("grace")
        assert made.password is not None
        grace.login("grace", made.password)
        job = grace.submit({"engine": "geant4", "project": demo_project(1_000_000)})
        for _ in range(2):
            operator.remove_user(made.id)
        with pytest.raises(ApiError) as refused:
            grace.job(job)
        assert refused.value.status in {401, 403}

        def left() -> bool:
            with as_operator(kerma):
                listed = run("admin", "jobs", "list", "--json")
            assert listed.code == 0, listed.stderr
            return job in listed.stdout

        eventually(lambda: not left(), PATIENCE, "the end of the job")
        with pytest.raises(ApiError) as taken:
            operator.create_user("grace")
        assert (taken.value.status, taken.value.code) == (409, "USER_EXISTS")
        operator.logout()
        with pytest.raises(ApiError) as out:
            operator.me()
        assert out.value.status == 401


def test_commands_of_this_machine_share_one_token_and_leave_no_session(kerma: Whole) -> None:
    data = ("--data", str(kerma.data))
    with as_operator(kerma):
        for command in (("jobs",), ("engines", "list", "--json"), ("auth", "sessions", "list")):
            for _ in range(2):
                ran = run(*command, *data)
                assert ran.code == 0, ran.stderr
        listed = run("auth", "token", "list", "--json", *data)
        assert [one["label"] for one in listed.json] == ["commands of this machine"]
        with_sessions = [one["username"] for one in run("admin", "sessions", "list", "--json").json]
    assert "local" not in with_sessions
