"""``POST /results`` and ``POST /logfiles``: what is refused, and that nothing of it is stored."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from kerma_common.contracts.events.jobs import UpdateKeysRevoked
from kerma_common.contracts.ids import JobId, job_id
from kerma_common.security.update_keys import UpdateKeys, Verb
from kerma_results.adapters.deliveries import grammar
from kerma_results.adapters.deliveries.storing import DeliveredPages
from kerma_results.app.places import Places
from kerma_results.app.ports import KeptEstimator
from kit.running.clients.deliveries import KEYS, SETTING, Delivery, delivery, estimators_of, page
from kit.running.worlds.results_world import NOW, OWNER, Running, World


@pytest.fixture
async def client(running: Running) -> AsyncIterator[httpx.AsyncClient]:
    """A client without any other credential."""
    async with running.client(None) as found:
        yield found


@pytest.fixture
async def sent(world: World, running: Running, job: JobId) -> AsyncIterator[Delivery]:
    """A job that waits for its results; afterwards, nothing of it is stored."""
    made = await delivery(world, job)
    await running.caught_up()
    blobs = stored(world)
    yield made
    assert stored(world) == blobs
    names = {type(event).__name__ for event in await world.history(job)}
    assert names <= {"ResultsExpected"}


def stored(world: World) -> set[str]:
    """Return the names of all blobs."""
    return {path.name for path in (world.folder / "blobs").rglob("*") if path.is_file()}


OTHERS = UpdateKeys((bytes(32),), timedelta(days=7), lambda: datetime.now(UTC))
PAST = UpdateKeys(KEYS.secrets, timedelta(days=7), lambda: datetime.now(UTC) - timedelta(days=8))


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (lambda _: "", "malformed"),
        (lambda _: "x" * 4000, "malformed"),
        (lambda sent: sent.key(keys=OTHERS), "not valid"),
        (lambda sent: sent.key(keys=PAST), "expired"),
        (lambda sent: sent.key(Verb.TASKS), "does not allow"),
        (lambda sent: Delivery(sent.job_id, sent.simulation_id + 1).key(), "not for this"),
        (lambda sent: sent.key()[:-2] + "AA", "not valid"),
    ],
)
@pytest.mark.parametrize("last", [False, True])
async def test_keys_that_are_not_the_jobs(
    client: httpx.AsyncClient,
    sent: Delivery,
    key: Callable[[Delivery], str],
    reason: str,
    last: bool,
) -> None:
    results = sent.body(update_key=key(sent))
    logs = {**sent.body(update_key=key(sent)), "logfiles": {"a.log": "text"}}
    del logs["estimators"]
    for path, content in (("/results", results), ("/logfiles", logs)):
        if last:
            content["update_key"] = content.pop("update_key")
        response = await client.post(path, content=json.dumps(content))
        assert response.status_code == 400, response.text
        assert set(response.json()) == {"message", "update_key"}
        assert reason in response.json()["update_key"][0]


async def test_keys_end_with_a_revocation(
    client: httpx.AsyncClient, world: World, sent: Delivery
) -> None:
    key = sent.key()
    revoked = UpdateKeysRevoked(job_id=sent.job_id, by=OWNER, not_before=datetime.now(UTC))
    await world.record(revoked)
    response = await sent.post(client, update_key=key)
    assert (response.status_code, set(response.json())) == (400, {"message", "update_key"})


async def test_a_key_that_is_revoked_during_the_upload_delivers_nothing(
    client: httpx.AsyncClient, world: World, sent: Delivery
) -> None:
    raw = json.dumps(sent.body()).encode()

    async def pieces() -> AsyncIterator[bytes]:
        yield raw[:-1]
        revoked = UpdateKeysRevoked(job_id=sent.job_id, by=OWNER, not_before=datetime.now(UTC))
        await world.record(revoked)
        yield raw[-1:]

    response = await client.post("/results", content=pieces())
    assert (response.status_code, set(response.json())) == (400, {"message", "update_key"})


async def test_a_key_that_is_revoked_while_pages_are_stored_delivers_nothing(
    client: httpx.AsyncClient,
    running: Running,
    world: World,
    job: JobId,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = await delivery(world, job)
    await running.caught_up()
    keep = DeliveredPages.keep

    async def until_revoked(self: DeliveredPages, body: Any) -> AsyncIterator[KeptEstimator]:
        async for kept in keep(self, body):
            yield kept
        revoked = UpdateKeysRevoked(job_id=job, by=OWNER, not_before=datetime.now(UTC))
        await world.record(revoked)

    monkeypatch.setattr(DeliveredPages, "keep", until_revoked)
    response = await made.post(client)
    assert (response.status_code, set(response.json())) == (400, {"message", "update_key"})
    assert {type(event).__name__ for event in await world.history(job)} <= {"ResultsExpected"}


async def test_jobs_that_kerma_runs_take_no_results(
    client: httpx.AsyncClient, running: Running, world: World
) -> None:
    name = job_id(NOW, uuid4(), "DIRECT")
    direct = Delivery(name, await world.submit(name))
    await running.caught_up()
    blobs = stored(world)
    response = await direct.post(client)
    assert (response.status_code, set(response.json())) == (400, {"message", "simulation_id"})
    assert stored(world) == blobs


def changed(change: Callable[[list[dict[str, Any]]], object]) -> list[dict[str, Any]]:
    made = estimators_of()
    change(made)
    return made


@pytest.mark.parametrize(
    ("estimators", "field", "reason"),
    [
        (changed(lambda all_: all_[1].update(name="let_")), "estimators.1.name", "'let_'"),
        (changed(lambda all_: all_.pop()), "estimators", "'entrance'"),
        (changed(lambda all_: all_.append(dict(all_[0]))), "estimators.3.name", "'depth_'"),
        (
            changed(lambda all_: all_[2]["pages"][0]["data"]["values"].pop()),
            "estimators.2.pages.0.data.values",
            "Has 1 numbers; the axes have 2 bins.",
        ),
        (
            changed(lambda all_: all_[2]["pages"].append(page(0, [0.5], dimensions=float("nan")))),
            "estimators.2.pages.3.dimensions",
            "Not a valid integer.",
        ),
    ],
)
async def test_bodies_that_break_a_rule_leave_nothing(
    client: httpx.AsyncClient,
    sent: Delivery,
    estimators: list[dict[str, Any]],
    field: str,
    reason: str,
) -> None:
    response = await sent.post(client, estimators)
    assert response.status_code == 400, response.text
    assert set(response.json()) == {"message", field}
    assert reason in response.json()[field][0]
    assert field in response.json()["message"]


async def test_a_body_that_is_cut_short_leaves_nothing(
    client: httpx.AsyncClient, sent: Delivery
) -> None:
    raw = json.dumps(sent.body()).encode()
    for cut in (raw[: len(raw) // 2], raw[:-1]):
        assert (await client.post("/results", content=cut)).status_code == 400
    zipped = gzip.compress(raw)[:-9]
    response = await client.post("/results", content=zipped, headers={"content-encoding": "gzip"})
    assert (response.status_code, set(response.json())) == (400, {"message", "body"})


@pytest.mark.parametrize("zipped", [False, True])
async def test_a_key_must_come_early(
    client: httpx.AsyncClient, sent: Delivery, zipped: bool
) -> None:
    """A bomb is not decompressed, and a long body is not read, for somebody without a key."""
    raw = b'{"estimators":[{"name":"depth","metadata":{},"pages":[{"data":{"values":['
    raw += b"0," * (8 << 20)
    headers = {"content-encoding": "gzip"} if zipped else {}
    content = gzip.compress(raw) if zipped else raw
    response = await client.post("/results", content=content, headers=headers)
    assert response.status_code == 400
    assert set(response.json()) == {"message", "simulation_id", "update_key"}
    assert "within the first 65536 bytes" in response.json()["update_key"][0]


@pytest.mark.parametrize("path", ["/results", "/logfiles"])
async def test_a_large_body_with_a_forged_key_takes_no_place(
    client: httpx.AsyncClient,
    sent: Delivery,
    path: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def taken(*_: object) -> None:
        raise AssertionError("a place was asked for")

    monkeypatch.setattr(Places, "place", taken)
    keys = sent.body(update_key=sent.key(keys=OTHERS))
    del keys["estimators"]
    held = "logfiles" if path == "/logfiles" else "estimators"
    raw = json.dumps({**keys, held: {"a.log": "x" * 200_000}})
    response = await client.post(path, content=raw)
    assert (response.status_code, set(response.json())) == (400, {"message", "update_key"})


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, gzip"])
async def test_other_codings_are_refused(
    client: httpx.AsyncClient, sent: Delivery, coding: str
) -> None:
    headers = {"content-encoding": coding}
    raw = json.dumps(sent.body())
    response = await client.post("/results", content=raw, headers=headers)
    assert (response.status_code, response.headers["accept-encoding"]) == (415, "gzip")


async def test_results_larger_than_the_limit_are_refused(
    world: World, job: JobId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(*SETTING)
    monkeypatch.setenv("KERMA_HTTP_STREAM_LIMIT", "150000")
    async with world.service() as running, running.client(None) as client:
        made = await delivery(world, job)
        raw = json.dumps(made.body(made_of_zeros(30_000))).encode()

        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, len(raw), 4096):
                yield raw[start : start + 4096]

        announced = await client.post("/results", content=raw)
        streamed = await client.post("/results", content=pieces())
        zipped = await client.post(
            "/results", content=gzip.compress(raw), headers={"content-encoding": "gzip"}
        )
        assert (announced.status_code, streamed.status_code) == (413, 413)
        assert (zipped.status_code, set(zipped.json())) == (400, {"message", "body"})


def made_of_zeros(count: int) -> list[dict[str, Any]]:
    made = estimators_of()
    made[0]["pages"] = [page(0, [0.0] * count)]
    return made


async def test_the_number_of_pages_is_bounded(client: httpx.AsyncClient, sent: Delivery) -> None:
    made = estimators_of()
    made[0]["pages"] = [page(n) for n in range(grammar.MOST_PAGES + 1)]
    response = await sent.post(client, made)
    assert response.status_code == 400
    assert "There are more than 20000 pages." in response.json()["message"]
