"""Long-running processes collect cycles rarely, but they do."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from kerma_common.garbage import YOUNG, collect_less


class Cycle:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


@pytest.mark.usefixtures("as_before")
def test_what_a_start_made_is_no_longer_looked_at() -> None:
    made = Cycle()
    collect_less()
    assert not any(found is made for found in gc.get_objects())
    assert gc.get_freeze_count() > 0


@pytest.mark.usefixtures("as_before")
def test_cycles_are_still_collected() -> None:
    collect_less()
    lost = weakref.ref(Cycle())
    kept = [[number] for number in range(2 * YOUNG)]
    assert lost() is None, len(kept)
