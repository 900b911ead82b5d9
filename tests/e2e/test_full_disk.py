"""``kerma up`` on a disk that fills up and is freed: refusals with a reason, then recovery."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest

from kit.inputs.projects import submission
from kit.programs.family import PATIENCE, eventually
from kit.running.small_disk import MB, SmallDisk, small_disk
from kit.running.whole import Whole, whole

pytestmark = pytest.mark.slow

RESERVE_MB = 48


@pytest.fixture(scope="module")
def kerma() -> Iterator[Whole]:
    with whole("--slots", "0", KERMA_ROOM_RESERVE_MB=str(RESERVE_MB)) as made:
        yield made


@pytest.fixture(scope="module")
def disk(kerma: Whole) -> Iterator[SmallDisk]:
    with small_disk(kerma.data, 400) as made:
        kerma.up()
        yield made
        kerma.kill_everything()


def _ready(client: httpx.Client) -> bool:
    return client.get("/internal/readyz").status_code == 200


def _post(client: httpx.Client) -> httpx.Response:
    return client.post("/jobs/direct", json={"wait_for_engine": True, **submission(10, 1)})


def _register(client: httpx.Client) -> int:
    body = {"username": f"u-{uuid4().hex}", "password": "long enough for a test"}
    return client.put("/auth/register", json=body).status_code


def test_below_the_reserve_nothing_new_is_taken_in(kerma: Whole, disk: SmallDisk) -> None:
    visitor = kerma.visitor().enter()
    assert _post(visitor.http).status_code == 202
    disk.fill(leave=(RESERVE_MB - 16) * MB)
    refused = _post(visitor.http)
    assert refused.status_code == 503, refused.text
    assert "almost full" in refused.json()["message"]
    assert refused.headers["Retry-After"] == "30"
    assert visitor.http.get("/user/simulations").json()["simulations_count"] == 1
    assert _ready(visitor.http)
    disk.free()
    assert _post(visitor.http).status_code == 202
    visitor.close()


def test_a_full_disk_is_told_and_everything_works_when_it_is_freed(
    kerma: Whole, disk: SmallDisk
) -> None:
    visitor = kerma.visitor().enter()
    before = visitor.http.get("/user/simulations").json()["simulations_count"]
    disk.fill()
    eventually(lambda: _register(visitor.http) == 503, PATIENCE, "a refused registration")
    eventually(lambda: not _ready(visitor.http), PATIENCE, "readiness that tells")
    disk.free()
    eventually(lambda: _ready(visitor.http), PATIENCE, "readiness")
    eventually(lambda: _register(visitor.http) == 201, PATIENCE, "a registration")
    assert _post(visitor.http).status_code == 202

    def listed() -> int:
        count: int = visitor.http.get("/user/simulations").json()["simulations_count"]
        return count

    # an answer may come before the read model that has only just been started again
    eventually(lambda: listed() == before + 1, PATIENCE, "the job in the list")
    assert kerma.program is not None
    assert kerma.program.alive
    visitor.close()
