"""Processes that convert several small projects of one user."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from kerma_common.errors import InvalidRequest
from kerma_engines.catalogue.registry import ENGINE_NAMES
from kerma_jobs.adapters.conversion import kept as kept_forks
from kerma_jobs.adapters.conversion.converter import MOST_KEPT, SPARES, ProcessConverter
from kerma_jobs.adapters.conversion.kept import MOST
from kerma_jobs.adapters.conversion.limits import ConversionLimits, QueueLimits
from kerma_sandbox.forks.children import Child
from kit.inputs.projects import demo_project
from kit.running.worlds.converters import converting, demo, demo_files, forks, until


def plain_project(primaries: int) -> dict[str, Any]:
    """Return the bundled project without what only some engines can do."""
    project = demo_project(primaries)
    for zone in project["zoneManager"]["zones"]:
        zone.pop("materialPropertiesOverrides", None)
    return project


def kept_by(converter: ProcessConverter, user: str) -> list[Child]:
    found = converter._kept._idle.get(user)
    return [found.child] if found else []


@asynccontextmanager
async def keeping(seconds: float) -> AsyncIterator[ProcessConverter]:
    """A converter that keeps processes for this long, however long their conversions took."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept_forks, "IDLE_SECONDS", seconds)
        slow = ConversionLimits(cpu_seconds=6000), QueueLimits(fast_seconds=600)
        async with converting(*slow) as converter:
            await until(lambda: len(forks()) == SPARES)
            yield converter


async def test_projects_of_one_user_share_a_process() -> None:
    async with keeping(600) as converter:
        await converter.from_project("geant4", demo(), user="a")
        await until(lambda: len(forks()) == SPARES + 1)
        (kept,) = kept_by(converter, "a")
        for _ in range(3):
            await converter.from_project("geant4", demo(), user="a")
        assert kept_by(converter, "a") == [kept]
        await converter.from_files("geant4", demo_files(), user="a")
        await converter.from_project("geant4", demo(), user="b")
        await converter.from_project("geant4", demo(), user="")
        assert kept_by(converter, "a") == [kept]
        assert kept_by(converter, "b") not in ([kept], [])
        assert kept_by(converter, "") == []
        await until(lambda: len(forks()) == SPARES + 2)
        assert not kept.ended.done()


async def test_a_kept_process_ends_when_it_is_not_used() -> None:
    async with keeping(0.1) as converter:
        await converter.from_project("geant4", demo(), user="a")
        await until(lambda: not kept_by(converter, "a") and len(forks()) == SPARES)
        assert await converter.from_project("geant4", demo(), user="a")


async def test_a_kept_process_that_died_is_not_used() -> None:
    async with keeping(600) as converter:
        before = set(forks())
        await converter.from_project("geant4", demo(), user="a")
        (kept,) = kept_by(converter, "a")
        spares = tuple(converter._spares)
        for fork in before:
            fork.kill()
        await kept.ended
        # one of them died too: it gets no conversion once that is known
        await until(lambda: any(spare.ended.done() for spare in spares))
        assert await converter.from_project("geant4", demo(), user="a")


async def test_a_process_is_kept_after_small_and_fast_conversions() -> None:
    large = orjson.dumps({**demo_project(), "history": "x" * MOST_KEPT})
    async with keeping(600) as converter:
        await converter.from_project("geant4", large, user="a")
        assert kept_by(converter, "a") == []
        await converter.from_project("geant4", demo(), user="a")
        assert len(kept_by(converter, "a")) == 1
        with pytest.raises(InvalidRequest):
            await converter.from_project("geant4", b"{}", user="a")
        assert len(kept_by(converter, "a")) == 1
    async with converting(queue=QueueLimits(fast_seconds=0.0)) as converter:
        await converter.from_project("geant4", demo(), user="a")
        assert kept_by(converter, "a") == []


async def test_only_the_last_users_processes_are_kept() -> None:
    users = [f"user{number}" for number in range(MOST + 1)]
    async with keeping(600) as converter:
        for user in users:
            await converter.from_project("geant4", demo(), user=user)
        assert [user for user in users if kept_by(converter, user)] == users[1:]


async def test_a_used_process_converts_as_a_new_one_does() -> None:
    async with keeping(600) as converter:
        for primaries in (100, 20_000):
            for name in ENGINE_NAMES:
                given = orjson.dumps(plain_project(primaries))
                new = await converter.from_project(name, given, user="")
                assert await converter.from_project(name, given, user="a") == new
        assert len(kept_by(converter, "a")) == 1
