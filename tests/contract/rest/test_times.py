"""Times are those of UTC where the machine's clock shows others."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from kit.programs.family import PATIENCE, eventually
from kit.running.clients.visitor import NAME, Visitor
from kit.running.whole import Whole, whole

SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module")
def kerma() -> Iterator[Whole]:
    """A Kerma nine hours east of UTC."""
    with whole(TZ="Asia/Tokyo") as made:
        made.up()
        yield made


def test_expiry_outside_of_utc(nobody: httpx.Client, ada: Visitor) -> None:
    """YAPTIDE's times are wrong by the offset of its clock."""
    before = time.time() * 1000
    answer = nobody.post("/auth/login", json=NAME).json()
    after = time.time() * 1000
    for name, minutes in (("access_exp", 10), ("refresh_exp", 120)):
        assert before - 1000 <= answer[name] - minutes * 60_000 <= after + 1000, name
    assert nobody.get("/auth/refresh").status_code == 200
    assert nobody.get("/user/simulations").status_code == 200


def ended(ada: Visitor) -> dict[str, Any] | None:
    """Return the entry of the only job once it has an end."""
    entry: dict[str, Any]
    (entry,) = ada.http.get("/user/simulations").json()["simulations"]
    return entry if entry["end_time"] else None


def test_times_of_jobs_outside_of_utc(ada: Visitor, body: dict[str, Any]) -> None:
    before = datetime.now(UTC) - SECOND
    job = ada.submit({**body, "sim_type": "fluka"})
    ada.http.delete("/jobs/direct", params={"job_id": job})
    entry = eventually(lambda: ended(ada), PATIENCE, "the end of the job")
    after = datetime.now(UTC) + SECOND
    tasks = ada.status(job)["job_tasks_status"]
    shown = [entry["start_time"], entry["end_time"], *(one["last_update_time"] for one in tasks)]
    assert all(before <= parsedate_to_datetime(one) <= after for one in shown)
    named = datetime.strptime(job[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
    assert before <= named <= after
