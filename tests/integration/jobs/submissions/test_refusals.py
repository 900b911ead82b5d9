"""Refusals of the jobs service: they name what is wrong and leave nothing behind."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from kerma_common.contracts.ids import UNKNOWN_JOB
from kerma_common.errors import NotFound
from kerma_common.http.body.json_body import LARGE
from kerma_common.http.refusals.handlers import problem
from kerma_common.infra import Infra
from kerma_common.room import DiskRoom
from kerma_common.settings import HttpSettings
from kerma_jobs.app.control import JobControl
from kerma_jobs.main import build
from kerma_sandbox.forks.shared import SharedForks
from kit.events.projecting import running
from kit.inputs.projects import demo_project, submission
from kit.running.worlds.jobs_world import as_user

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"sim_type": "nosuch"}, "sim_type"),
        ({"sim_type": 5}, "sim_type"),
        ({"ntasks": 0}, "ntasks"),
        ({"ntasks": 10**9}, "ntasks"),
        ({"ntasks": "8"}, "ntasks"),
        ({"ntasks": None}, "ntasks"),
        ({"ntasks": True}, "ntasks"),
        ({"title": None}, "title"),
        ({"title": "a\u0000b"}, "title"),
        ({"title": "x" * 10_000}, "title"),
        ({"input_type": "EDITOR"}, "input_type"),
        ({"input_json": None}, "input_json"),
        ({"input_json": []}, "input_json"),
        ({"input_json": {"beam": 5}}, "input_json."),
        ({"input_type": "files"}, "input_files"),
        ({"input_type": "files", "input_files": {"../x": "y"}}, "input_files"),
        ({"input_type": "files", "input_files": {"/etc/x": "y"}}, "input_files"),
        ({"input_type": "files", "input_files": {"": "y"}}, "input_files"),
        ({"input_type": "files", "input_files": {"a\u0000.mac": "y"}}, "input_files"),
        ({"input_type": "files", "input_files": {"run.mac": 5}}, "input_files"),
        ({"input_type": "files", "input_files": {"run.mac": "/control/shell ls"}}, "input_files"),
    ],
)
async def test_malformed_submissions_are_named_and_leave_nothing(
    jobs: tuple[httpx.AsyncClient, Infra], change: dict[str, Any], field: str
) -> None:
    client, infra = jobs
    send = as_user(client)
    before = (await infra.log.state("JOBS")).last
    answer = await send("POST", "/jobs/direct", json=submission(**change))
    assert answer.status_code == 400, answer.text
    assert any(key.startswith(field) for key in answer.json()), answer.text
    assert (await infra.log.state("JOBS")).last == before


@pytest.mark.parametrize("primaries", [-1, 0, 10**30, 1.5, "many", None])
async def test_impossible_primaries_are_named(
    jobs: tuple[httpx.AsyncClient, Infra], primaries: object
) -> None:
    client, _ = jobs
    project = demo_project()
    project["beam"]["numberOfParticles"] = primaries
    body = {**submission(), "input_json": project}
    answer = await as_user(client)("POST", "/jobs/direct", json=body)
    assert answer.status_code == 400
    if not (isinstance(primaries, int) and primaries > 2**64):  # not even JSON to our parser
        place = "input_json.beam.numberOfParticles"
        (reason,) = answer.json()[place]
        assert f"Wrong data provided: {place}: {reason}" in answer.json()["message"]


async def test_hostile_bodies(jobs: tuple[httpx.AsyncClient, Infra]) -> None:
    client, _ = jobs
    send = as_user(client)
    nested = b'{"a":' * 500 + b"1" + b"}" * 500
    for body, status in (
        (b"", 400),
        (b"{}", 400),
        (b"[]", 400),
        (b"not json", 400),
        (nested, 400),
        (b'{"x":"' + b"y" * 100_000, 400),
        (b'{"a":[' + b"0," * 1_000_000 + b"0]}", 400),
        (b'{"x":"' + b"y" * 50_000_000 + b'"}', 413),
    ):
        answer = await send("POST", "/jobs/direct", content=body)
        assert answer.status_code == status
        assert isinstance(answer.json()["message"], str)


async def test_faults_of_large_submissions_are_named(
    jobs: tuple[httpx.AsyncClient, Infra],
) -> None:
    client, _ = jobs
    send = as_user(client)
    padded = {**demo_project(), "notes": "n" * LARGE}
    for change, field in (
        ({"ntasks": 0, "input_json": padded}, "ntasks"),
        ({"title": "t" * LARGE}, "title"),
        ({"input_json": {**padded, "beam": 5}}, "input_json.beam"),
        ({"input_json": {**padded, "notes": "\u0000"}, "more": "m" * LARGE}, "input_json.notes"),
        ({"input_json": "n" * LARGE}, "input_json"),
        ({"input_type": "files", "input_files": ["n" * LARGE]}, "input_files"),
        ({"input_type": "files", "input_files": {"run.mac": ["n" * LARGE]}}, "input_files"),
    ):
        answer = await send("POST", "/jobs/direct", json=submission(**change))
        assert answer.status_code == 400, answer.text
        assert field in answer.json(), answer.text


async def test_a_large_project_is_accepted_and_shown_as_it_was_sent(
    jobs: tuple[httpx.AsyncClient, Infra],
) -> None:
    client, _ = jobs
    send = as_user(client)
    project = {**demo_project(10), "notes": "ż" * LARGE}
    answer = await send("POST", "/jobs/direct", json=submission(input_json=project))
    assert answer.status_code == 202, answer.text
    shown = await send("GET", "/inputs", params={"job_id": answer.json()["job_id"]})
    assert shown.json()["input"]["input_json"] == project


async def test_without_room_nothing_new_is_taken_in(
    jobs: tuple[httpx.AsyncClient, Infra], tmp_path: Path
) -> None:
    _, infra = jobs
    full = replace(infra, room=DiskRoom((tmp_path,), 1 << 62), forks=SharedForks())
    service = build(HttpSettings(), full)
    async with running(*(work() for name, work in service.background if name == "catch-up")):
        transport = httpx.ASGITransport(service.asgi)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            send = as_user(client)
            refused = await send("POST", "/jobs/direct", json=submission(primaries=10, tasks=1))
            assert refused.status_code == 503
            assert "almost full" in refused.json()["message"]
            assert refused.headers["Retry-After"]
            assert (await send("GET", "/user/simulations")).status_code == 200


async def test_a_job_that_was_just_deleted_is_unknown_to_every_route(
    jobs: tuple[httpx.AsyncClient, Infra],
) -> None:
    """The rows may still show it; then the rules of the job give the same answer."""
    _, infra = jobs
    control = JobControl(infra.bus, infra.clock)
    for action in (control.cancel, control.delete):
        with pytest.raises(NotFound) as unknown:
            await action("gone", "u", "request")
        assert unknown.value.message == UNKNOWN_JOB
        assert problem(unknown.value).status_code == 404
