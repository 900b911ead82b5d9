"""A child that ends is restarted, after a growing pause, and not for ever."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from kerma_allinone.children import supervision
from kerma_allinone.children.process import Child, start_child
from kerma_allinone.children.supervision import Restarts, keep
from kerma_common.service import ServiceError


def test_pauses_grow_until_it_is_in_vain() -> None:
    restarts = Restarts()
    assert [restarts.pause(float(n)) for n in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.6, None]


def test_what_ends_rarely_is_always_started_again() -> None:
    restarts = Restarts()
    assert {restarts.pause(61.0 * n) for n in range(20)} == {0.1}


@pytest.fixture
def paused(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the supervision pauses, without waiting, by a clock that stands still."""
    pauses: list[float] = []
    yield_ = asyncio.sleep

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await yield_(0)

    monkeypatch.setattr(supervision, "asyncio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(supervision, "time", SimpleNamespace(monotonic=lambda: 0.0))
    return pauses


PAUSES = [0.1, 0.2, 0.4, 0.8, 1.6]


class Failing:
    """A child that ends at once; a new one starts after the end of the one before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.starts = 0
        self.child = self._start()

    async def restart(self) -> None:
        assert self.child.returncode == 3
        self.child = self._start()

    def _start(self) -> Child:
        self.starts += 1
        return start_child(
            "failing",
            ["/bin/sh", "-c", "echo no such library; exit 3"],
            log=self.folder / "log",
            cwd=self.folder,
            death_signal=signal.SIGTERM,
        )


async def test_what_keeps_ending_ends_the_program_with_its_last_words(
    tmp_path: Path, paused: list[float]
) -> None:
    failing = Failing(tmp_path)
    with pytest.raises(ServiceError) as refused:
        await keep(failing)
    assert (failing.starts, paused) == (6, PAUSES)
    assert str(refused.value).startswith(
        "gave up after 5 restarts within 60 s: failing ended with status 3; the end of"
    )
    assert str(refused.value).endswith("no such library")


async def test_what_ends_on_a_full_disk_waits_for_room(tmp_path: Path, paused: list[float]) -> None:
    failing, looks = Failing(tmp_path), 0

    def has_room() -> bool:
        nonlocal looks
        looks += 1
        if looks <= 20:
            assert failing.starts == 1
        return looks > 20

    with pytest.raises(ServiceError):
        await keep(failing, has_room)
    looking = [supervision.ROOM_SECONDS] * 19
    assert (failing.starts, paused) == (6, [*looking, *PAUSES])
