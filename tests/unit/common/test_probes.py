"""Probes show when a dependency refuses writes, and when it accepts them again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kerma_common import probes
from kerma_common.blobs.store import open_blobs
from kerma_common.errors import Unavailable
from kerma_common.eventlog.refusals import Refusals
from kerma_common.probes import Probes
from kerma_common.projection.retries import persistence
from kerma_common.projection.retries.persistence import Persistence
from kerma_common.room import MB, DiskRoom, free_bytes
from kerma_common.settings import BlobSettings


async def test_what_fails_is_a_fault_until_it_works() -> None:
    broken = True

    async def blob() -> None:
        if broken:
            raise Unavailable("the blob store failed")

    async def append() -> None:
        if broken:
            raise OSError

    async def fine() -> None:
        pass

    watched = Probes("jobs", {"blob": blob, "append": append, "transaction": fine})
    await watched.look()
    assert watched.faults == {"blob": "the blob store failed", "append": "OSError"}
    broken = False
    await watched.look()
    assert watched.faults == {}


async def test_what_never_answers_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "PATIENCE_SECONDS", 0.01)
    watched = Probes("jobs", {"append": asyncio.Event().wait})
    await watched.look()
    assert watched.faults == {"append": "TimeoutError"}


async def test_a_probe_of_blobs_leaves_one_object(tmp_path: Path) -> None:
    store = open_blobs(BlobSettings(url=f"file://{tmp_path}"))
    for _ in range(2):
        await store.probe("jobs")
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()] == [
        Path("probe/jobs")
    ]


def test_a_refusal_ends_with_a_write_or_another_connection() -> None:
    connections = 0
    refusals = Refusals(lambda: connections)
    refusals.refused("JOBS", Unavailable("full"))
    refusals.refused("WORK", Unavailable("full"))
    assert refusals.faults() == {"JOBS": "Unavailable: full", "WORK": "Unavailable: full"}
    refusals.stored("JOBS")
    assert set(refusals.faults()) == {"WORK"}
    connections += 1
    assert refusals.faults() == {}


def test_room_is_short_below_the_reserve(tmp_path: Path) -> None:
    missing = tmp_path / "not" / "there" / "yet"
    free = free_bytes(tmp_path)
    assert abs(free_bytes(missing) - free) < 64 * MB
    DiskRoom((tmp_path, missing), free // 2).check()
    with pytest.raises(Unavailable, match=r"almost full: \d+ MB are free, \d+ MB are kept"):
        DiskRoom((missing,), 2 * free).check()


async def test_a_loop_that_fails_for_long_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persistence, "UNREADY_SECONDS", 0.0)
    retries = Persistence("jobs", "lifecycle")
    retries.failed("outbox", Unavailable("no verdict"))
    assert (retries.fault or "").endswith("Unavailable")
    retries.recovered("outbox")
    assert retries.fault is None
    with pytest.raises(ValueError, match="a bug"):
        retries.failed("outbox", ValueError("a bug"))
    assert retries.fault is None
