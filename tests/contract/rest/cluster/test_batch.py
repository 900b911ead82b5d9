"""Rows 3.11 and 3.19: jobs for a cluster, and the list of clusters."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from kit.identity.provider import Provider
from kit.inputs.projects import submission
from kit.running.clients.browsers import browser, exchange
from kit.running.clients.script import SHOWN, Script, accepted, job_on_a_cluster
from kit.running.whole import Whole

BODY = submission(20, 2, sim_type="shieldhit")


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
def test_batch_needs_keycloak_before_anything_else(native: httpx.Client, method: str) -> None:
    answer = native.request(method, "/jobs/batch", params={"foo": "1"})
    assert answer.status_code == 403
    assert set(answer.json()) == {"message"}


def test_batch_without_any_cluster(unclustered: dict[str, httpx.Response]) -> None:
    answer = unclustered["submission"]
    assert answer.status_code == 400
    assert "cluster" in answer.json()["message"]


def test_batch_submit(plgada: httpx.Client, clusters: list[str]) -> None:
    options = {
        "cluster_name": "default",
        "array_options": {"time": "0:15:00", "partition": "plgrid"},
        "array_header": "module load shieldhit\n",
        "collect_options": {},
        "collect_header": "",
    }
    assert job_on_a_cluster(plgada, batch_options=options).endswith("BATCH")


@pytest.mark.parametrize("change", [{"input_type": "EDITOR"}, {"ntasks": "2"}, {"title": None}])
def test_batch_refuses_what_direct_refuses(
    plgada: httpx.Client, clusters: list[str], change: dict[str, Any]
) -> None:
    answer = plgada.post("/jobs/batch", json={**BODY, **change})
    assert answer.status_code == 400
    assert next(iter(change)) in answer.json()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"cluster_name": "zeus.example"}, "zeus.example"),
        ({"cluster_name": "default"}, "ares.example"),
        ({"cluster_name": "Zeus.Example"}, "ares.example"),
        ({}, "ares.example"),
    ],
)
def test_batch_unknown_or_missing_cluster_name(
    plgada: httpx.Client, clusters: list[str], options: dict[str, str], named: str
) -> None:
    job = job_on_a_cluster(plgada, batch_options=options)
    status = plgada.get("/jobs/batch", params={"job_id": job}).json()
    assert named in status["message"]


def test_batch_options_are_optional(plgada: httpx.Client, clusters: list[str]) -> None:
    assert job_on_a_cluster(plgada).endswith("BATCH")


def test_batch_tasks_count_from_one(script: Script) -> None:
    for path in SHOWN:
        tasks = script.status(path)["job_tasks_status"]
        assert [task["task_id"] for task in tasks] == [1, 2]
        assert [task["requested_primaries"] for task in tasks] == [10, 10]
        assert [task["task_state"] for task in tasks] == ["PENDING"] * 2


def test_batch_list_entry(script: Script) -> None:
    listed = script.owner.get("/user/simulations", params={"page_size": 1000}).json()
    entry = next(one for one in listed["simulations"] if one["job_id"] == script.job)
    assert set(entry) == {"job_id", "title", "start_time", "end_time", "metadata"}
    assert entry["metadata"]["platform"] == "BATCH"
    assert entry["end_time"] is None


def test_batch_get(script: Script) -> None:
    """No SSH connection is opened, so the message tells where the job is."""
    status = script.status("/jobs/batch")
    assert set(status) == {
        "message",
        "job_state",
        "job_tasks_status",
        "partial_results_available",
    }
    answer = script.get("/jobs/batch", q="1")
    assert (answer.status_code, answer.json()["q"]) == (400, ["Unknown field."])


def test_batch_delete(script: Script) -> None:
    script.tell("RUNNING", "COMPLETED")
    answer = script.owner.delete("/jobs/batch", params={"job_id": script.job})
    assert (answer.status_code, set(answer.json())) == (200, {"message"})
    assert script.states("/jobs/batch") == ["CANCELED", "CANCELED", "COMPLETED"]


def test_batch_delete_of_an_ended_job(script: Script) -> None:
    script.cancel()
    for _ in range(2):
        answer = script.owner.delete("/jobs/batch", params={"job_id": script.job})
        assert (answer.status_code, answer.json()["job_state"]) == (200, "CANCELED")


@pytest.mark.parametrize("state", ["MERGING_QUEUED", "MERGING_RUNNING"])
def test_delete_while_merging(script: Script, state: str) -> None:
    """YAPTIDE deletes it, and the merge has nowhere to go."""
    accepted(script.report(job_state=state))
    answer = script.owner.delete("/user/simulations", params={"job_id": script.job})
    assert answer.status_code == 403
    assert script.states()[0] == state


def test_batch_cancel_sets_end_time(script: Script) -> None:
    """YAPTIDE never sets it."""
    script.cancel()
    listed = script.owner.get("/user/simulations", params={"page_size": 1000}).json()
    entry = next(one for one in listed["simulations"] if one["job_id"] == script.job)
    assert parsedate_to_datetime(entry["end_time"]) >= parsedate_to_datetime(entry["start_time"])


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"array_options": {"time": "$(id)"}}, "array_options"),
        ({"array_options": {"output": "/etc/passwd"}}, "array_options"),
        ({"array_options": {"time": "1'; touch x; echo '"}}, "array_options"),
        ({"collect_options": {"dependency": "afterany:1"}}, "collect_options"),
        ({"collect_options": {"x\ny": "1"}}, "collect_options"),
        ({"array_header": "#!/bin/sh\n"}, "array_header"),
        ({"collect_header": "#SBATCH --wrap=id\n"}, "collect_header"),
        ({"array_header": "x\x00y"}, "array_header"),
    ],
)
def test_batch_options_are_no_shell(
    plgada: httpx.Client, clusters: list[str], options: dict[str, Any], named: str
) -> None:
    """YAPTIDE hands them to a remote shell; its sanitiser removes nothing."""
    answer = plgada.post("/jobs/batch", json={**BODY, "batch_options": options})
    assert answer.status_code == 400
    assert named in answer.text


def test_clusters_are_listed(plgada: httpx.Client, clusters: list[str]) -> None:
    answer = plgada.get("/clusters")
    assert answer.status_code == 200
    assert set(answer.json()) == {"message", "clusters"}
    assert [one["cluster_name"] for one in answer.json()["clusters"]] == clusters


def test_clusters_empty_list(unclustered: dict[str, httpx.Response]) -> None:
    answer = unclustered["list"]
    assert (answer.status_code, answer.json()["clusters"]) == (200, [])


def test_clusters_for_users_with_a_password(native: httpx.Client) -> None:
    """YAPTIDE answers 403."""
    assert native.get("/clusters").status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(
            (method, f"/jobs{rest}")
            for method in ("GET", "DELETE")
            for rest in ("/batch", "/direct")
        ),
        ("GET", "/jobs"),
        ("GET", "/inputs"),
        ("GET", "/results"),
        ("GET", "/estimators"),
        ("GET", "/logfiles"),
        ("DELETE", "/user/simulations"),
        *(
            ("GET", f"/v1/jobs/{{job}}{rest}")
            for rest in ("", "/tasks", "/inputs", "/logs", "/results")
        ),
        ("GET", "/v1/jobs/{job}/events"),
        ("POST", "/v1/jobs/{job}/cancel"),
        ("DELETE", "/v1/jobs/{job}"),
    ],
)
def test_nobody_touches_anothers_job_on_a_cluster(
    kerma: Whole, realm: Provider, waiting: Script, method: str, path: str
) -> None:
    query = {} if "{job}" in path else {"job_id": waiting.job}
    with browser(kerma) as plgeve:
        assert exchange(plgeve, realm.token("plgeve"), "plgeve").status_code == 202
        answer = plgeve.request(method, path.format(job=waiting.job), params=query)
    assert answer.status_code == 403, answer.text
    assert waiting.job not in answer.text
