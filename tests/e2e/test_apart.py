"""The five services, a worker and the gateway as separate processes."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import orjson
import pytest

from kit.events.chosen import successes
from kit.inputs.projects import submission
from kit.running.apart import Apart
from kit.running.clients.visitor import Visitor

pytestmark = pytest.mark.slow

PRIMARIES, TASKS = 400, 4


@pytest.fixture(scope="module")
def system(bare: Apart) -> Apart:
    """Everything as separate processes; the jobs service even in two."""
    for name in ("auth", "runner", "results", "batch", "gateway", "worker"):
        bare.start(name)
    bare.start("jobs", "api")
    bare.start("jobs.rest", "project,process")
    bare.ready()
    return bare


@pytest.fixture
def visitor(system: Apart) -> Iterator[Visitor]:
    visitor = system.visitor().enter()
    yield visitor
    visitor.close()


def test_a_real_job_goes_through_all_of_them(system: Apart, visitor: Visitor) -> None:
    job = visitor.submit(submission(PRIMARIES, TASKS))
    # projected by a different process than the one that answered the submission
    shown = visitor.get("/jobs", job)
    assert shown.status_code == 200
    assert len(shown.json()["job_tasks_status"]) == TASKS
    listed = visitor.http.get("/user/simulations").json()["simulations"]
    assert [j["job_id"] for j in listed] == [job]
    ended = visitor.until(job, "COMPLETED")
    assert [t["task_state"] for t in ended["job_tasks_status"]] == ["COMPLETED"] * TASKS
    body = orjson.loads(visitor.results(job))
    assert {e["metadata"]["primaries"] for e in body["estimators"]} == {str(PRIMARIES)}
    assert successes(system.place, job) == dict.fromkeys(range(TASKS), 1)


def test_what_was_written_by_one_process_is_read_from_another(visitor: Visitor) -> None:
    for _ in range(10):
        job = visitor.submit(submission(2_000_000, 1))
        assert visitor.get("/jobs", job).json()["job_state"] in {"PENDING", "RUNNING"}
        canceled = visitor.http.delete("/jobs/direct", params={"job_id": job})
        assert canceled.json()["message"] == "Job canceled"
        assert visitor.get("/jobs", job).json()["job_state"] == "CANCELED"


def test_the_gateway_keeps_operators_paths_to_itself(system: Apart, visitor: Visitor) -> None:
    assert visitor.http.get("/internal/metrics").status_code == 404
    own = f"http://127.0.0.1:{system.ports['jobs']}/internal/metrics"
    assert httpx.get(own).status_code == 200


def test_a_service_that_is_away_is_a_503_and_comes_back(system: Apart, visitor: Visitor) -> None:
    system.programs["jobs"].end()
    away = visitor.http.get("/user/simulations")
    assert (away.status_code, away.headers["retry-after"]) == (503, "1")
    assert visitor.http.get("/auth/status").status_code == 200
    system.start("jobs", "api")
    system.ready()
    assert visitor.http.get("/user/simulations").status_code == 200


def test_everything_ends_in_order_and_leaves_nothing(system: Apart) -> None:
    system.end()


@pytest.mark.parametrize(
    ("service", "roles", "sentence"),
    [
        ("mail", "api", "mail is not one of auth, jobs, runner, results, batch, worker, gateway"),
        ("jobs", "api,paint", "roles are some of api, process, project"),
    ],
)
def test_a_wrong_service_or_role_is_told(
    bare: Apart, service: str, roles: str, sentence: str
) -> None:
    program = bare.start(service, roles)
    assert program.process.wait(90) == 1
    assert program.said.splitlines()[-1] == f"kerma: {sentence}"


def test_a_missing_setting_is_named(bare: Apart) -> None:
    program = bare.start("batch", KERMA_NATS_URL="")
    assert program.process.wait(90) == 1
    assert program.said.splitlines()[-1].startswith("kerma: KERMA_NATS_URL")
