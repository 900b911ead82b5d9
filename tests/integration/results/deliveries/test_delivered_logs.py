"""``POST /logfiles``: logs of jobs on clusters, appended and shown."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from kerma_common.contracts.events.jobs import (
    JobCanceled,
    JobCancellationRequested,
    JobDeleted,
    JobFailed,
    JobLogReported,
)
from kerma_common.contracts.ids import job_id
from kerma_common.http.body.json_body import LARGE
from kerma_results.app.logs import HEAD, TAIL
from kerma_results.domain import job_log
from kit.running.clients.deliveries import Delivery, delivery
from kit.running.worlds.results_world import NOW, OWNER, Running, World


async def post(client: httpx.AsyncClient, sent: Delivery, logfiles: Any) -> httpx.Response:
    body = {**sent.body(), "logfiles": logfiles}
    del body["estimators"]
    return await client.post("/logfiles", content=json.dumps(body))


async def shown(client: httpx.AsyncClient, sent: Delivery, **query: Any) -> dict[str, str]:
    response = await client.get("/logfiles", params={"job_id": sent.job_id, **query})
    assert response.status_code == 200, response.text
    found: dict[str, str] = response.json()["logfiles"]
    return found


async def test_every_log_is_shown_and_a_repetition_changes_nothing(
    client: httpx.AsyncClient, running: Running, sent: Delivery
) -> None:
    for text in ("first", "second", "second"):
        response = await post(client, sent, {"shieldhit_0001.log": text, f"{text}.log": "more"})
        assert (response.status_code, set(response.json())) == (202, {"message"}), response.text
    assert await shown(client, sent) == {
        "shieldhit-0001.log": "second",
        "second.log": "more",
        "shieldhit-0001-2.log": "first",
        "first.log": "more",
    }


async def test_logs_of_reports_are_shown_beside_posted_ones(
    client: httpx.AsyncClient, running: Running, world: World, sent: Delivery
) -> None:
    async def reported(**texts: str) -> None:
        ref = await world.blobs.put(json.dumps(texts).encode(), "application/json")
        await world.record(JobLogReported(job_id=sent.job_id, log_ref=ref))

    await reported(error="no route to host")
    await running.caught_up()
    assert await shown(client, sent) == {"error": "no route to host"}
    assert (await post(client, sent, {"error": "delivered", "a.log": "more"})).status_code == 202
    await reported(error="<b>again</b>")
    await running.caught_up()
    expected = {
        "error": "<b>again</b>",
        "error-2": "no route to host",
        "error-3": "delivered",
        "a.log": "more",
    }
    assert await shown(client, sent, plain=True) == expected
    expected["error"] = "&lt;b&gt;again&lt;/b&gt;"
    assert await shown(client, sent) == expected
    await world.record(JobDeleted(job_id=sent.job_id, by=OWNER))
    await running.caught_up()
    gone = await client.get("/logfiles", params={"job_id": sent.job_id})
    assert gone.status_code == 404


async def test_scripts_in_logs_are_shown_as_text(client: httpx.AsyncClient, sent: Delivery) -> None:
    hostile = {"<b>a.log": "<script>alert('x')</script> & more\r\n"}
    assert (await post(client, sent, hostile)).status_code == 202
    (name,), (text,) = zip(*(await shown(client, sent)).items(), strict=True)
    assert "<" not in name + text
    plain = await shown(client, sent, plain=True)
    assert list(plain.values()) == list(hostile.values())


async def test_a_long_log_is_parsed_elsewhere_and_cut(
    client: httpx.AsyncClient, sent: Delivery
) -> None:
    text = "x" * (HEAD + TAIL) + "y" * 500_000
    assert (await post(client, sent, {"a.log": text})).status_code == 202
    found = await shown(client, sent)
    assert "characters are left out here" in found["a.log"]


async def test_a_failed_job_takes_logs_and_a_deleted_one_none(
    client: httpx.AsyncClient, running: Running, world: World, sent: Delivery
) -> None:
    await world.record(
        JobFailed(job_id=sent.job_id, code="X", summary="x", failed_tasks=(), ended_at=NOW)
    )
    assert (await post(client, sent, {"a.log": "why"})).status_code == 202
    found = await shown(client, sent)
    assert list(found) == ["000-why-it-failed.txt", "a.log"]
    assert found["a.log"] == "why"
    why = found["000-why-it-failed.txt"]
    assert (await post(client, sent, {"000-why-it-failed.txt": "nothing"})).status_code == 202
    found = await shown(client, sent)
    assert found["000-why-it-failed.txt"] == why
    assert found["000-why-it-failed-2.txt"] == "nothing"
    await world.record(JobDeleted(job_id=sent.job_id, by=OWNER))
    assert (await post(client, sent, {"b.log": "late"})).status_code == 400


@pytest.mark.parametrize("requested", [True, False])
async def test_a_cancelled_job_takes_no_logs(
    client: httpx.AsyncClient, world: World, sent: Delivery, requested: bool
) -> None:
    end = (
        JobCancellationRequested(job_id=sent.job_id, by=OWNER, collect=False)
        if requested
        else JobCanceled(job_id=sent.job_id, succeeded=0, failed=0, canceled=2, ended_at=NOW)
    )
    await world.record(end)
    refused = await post(client, sent, {"a.log": "late"})
    assert (refused.status_code, refused.json()["code"]) == (409, "JOB_ENDED")
    assert refused.json()["message"] == "The job is CANCELED and accepts no logs"
    missing = await client.get("/logfiles", params={"job_id": sent.job_id})
    assert missing.status_code == 404


@pytest.mark.parametrize(
    ("logfiles", "reason"),
    [
        ([], "Must be an object of texts."),
        ("text", "Must be an object of texts."),
        ({"a.log": 1}, "Must be an object of texts."),
        ({"a.log": {"b": "c"}}, "Must be an object of texts."),
        ({"a.log": "x" * 100_000, "b": None}, "Must be an object of texts."),
        ({"x" * 256: ""}, "1 to 255 characters"),
        ({"": ""}, "1 to 255 characters"),
        ({str(n): "" for n in range(1001)}, "more than 1000 files"),
    ],
)
async def test_what_is_no_log(
    client: httpx.AsyncClient, sent: Delivery, logfiles: Any, reason: str
) -> None:
    response = await post(client, sent, logfiles)
    assert (response.status_code, set(response.json())) == (400, {"message", "logfiles"})
    assert reason in response.json()["logfiles"][0]
    missing = await client.get("/logfiles", params={"job_id": sent.job_id})
    assert missing.status_code == 404


@pytest.mark.parametrize("key", ["simulation_id", "update_key", "logfiles"])
async def test_the_members_are_exactly_these(
    client: httpx.AsyncClient, sent: Delivery, key: str
) -> None:
    body = {**sent.body(), "logfiles": {}}
    del body["estimators"], body[key]
    response = await client.post("/logfiles", content=json.dumps({**body, "more": 1}))
    assert (response.status_code, set(response.json())) == (400, {"message", key, "more"})


async def test_the_number_of_logs_is_bounded(
    client: httpx.AsyncClient, sent: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_log, "MOST_LOGS", 2)
    for number in range(2):
        assert (await post(client, sent, {"a.log": str(number)})).status_code == 202
    refused = await post(client, sent, {"a.log": "3"})
    assert (refused.status_code, refused.json()["code"]) == (409, "TOO_MANY_LOGS")
    assert (await post(client, sent, {"a.log": "0"})).status_code == 202


@pytest.mark.parametrize("padding", [0, 100_000])
async def test_logs_are_the_same_in_any_order(
    client: httpx.AsyncClient, world: World, sent: Delivery, padding: int
) -> None:
    logs = {f"{name}.log": name * 5000 + " " * padding for name in "abc"}
    for order in (logs, dict(reversed(logs.items()))):
        assert (await post(client, sent, order)).status_code == 202
    body = {"logfiles": logs, **sent.body()}
    del body["estimators"]
    if not padding:  # blanks make it a body that is read elsewhere
        spaced = json.dumps(body, indent=1).encode() + b" " * 100_000
        assert (await client.post("/logfiles", content=spaced)).status_code == 202
    assert list(await shown(client, sent)) == list(logs)


async def test_a_member_comes_once(client: httpx.AsyncClient, world: World, sent: Delivery) -> None:
    other = await delivery(world, job_id(NOW, uuid4(), "BATCH"))
    body = {**sent.body(), "logfiles": {"a.log": "x" * 100_000}}
    del body["estimators"]
    for name, value in (("simulation_id", other.simulation_id), ("update_key", other.key())):
        own = json.dumps(body)[:-1]
        twice = own + "," + json.dumps({name: value})[1:]
        response = await client.post("/logfiles", content=twice)
        assert (response.status_code, set(response.json())) == (400, {"message", name})
    for one in (sent, other):
        missing = await client.get("/logfiles", params={"job_id": one.job_id})
        assert missing.status_code == 404


@pytest.mark.parametrize("wrong", [{"update_key": "x.y.z"}, {"simulation_id": 7}])
async def test_a_large_log_is_not_read_for_others_than_a_job(
    client: httpx.AsyncClient, sent: Delivery, wrong: dict[str, Any]
) -> None:
    members = {**sent.body(), **wrong, "logfiles": {"a.log": "x" * 2**20}}
    del members["estimators"]
    body = json.dumps(members).encode()
    arrived = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal arrived
        for start in range(0, len(body), 4096):
            arrived = start
            yield body[start : start + 4096]

    answer = await client.post("/logfiles", content=pieces())
    assert (answer.status_code, set(answer.json())) == (400, {"message", "update_key"})
    assert arrived <= LARGE


async def test_a_large_log_of_a_canceled_job_is_not_read(
    client: httpx.AsyncClient, world: World, sent: Delivery
) -> None:
    await world.record(JobCancellationRequested(job_id=sent.job_id, by=OWNER, collect=False))
    members = {**sent.body(), "logfiles": {"a.log": "x" * LARGE}}
    del members["estimators"]

    async def without_end() -> AsyncIterator[bytes]:
        yield json.dumps(members).encode()
        raise AssertionError

    refused = await client.post("/logfiles", content=without_end())
    assert (refused.status_code, refused.json()["code"]) == (409, "JOB_ENDED")
