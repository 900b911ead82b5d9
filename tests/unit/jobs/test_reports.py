"""Reports on a job that other replicas commit reports on as well."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kerma_common.errors import ConcurrencyConflict, Unavailable
from kerma_common.security.update_keys import UpdateKey, Verb
from kerma_jobs.app.reports import PATIENCE, JobUpdate, Reports

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEY = UpdateKey("j-BATCH", 4, frozenset(Verb), NOW, NOW)


@dataclass
class Busy:
    """A bus that gives up on the first commands, and the position of the last one."""

    conflicts: int
    executed: int = 0
    waited: int = 0

    async def execute(self, *_: Any) -> Any:
        self.executed += 1
        if self.executed <= self.conflicts:
            raise ConcurrencyConflict("changes too fast; try again")
        return SimpleNamespace(seq=7)

    async def wait(self, _name: str, _stream: str, seq: int) -> None:
        self.waited = seq


def reports(busy: Busy) -> Reports:
    unused = cast("Any", None)
    bus = cast("Any", busy)
    return Reports(bus, unused, unused, bus, lambda: NOW, unused)


async def test_a_report_outlasts_those_of_other_replicas() -> None:
    busy = Busy(PATIENCE - 1)
    await reports(busy).job(KEY, JobUpdate(array_id=5), "r")
    assert (busy.executed, busy.waited) == (PATIENCE, 7)


async def test_a_report_that_always_loses_may_be_sent_again() -> None:
    busy = Busy(PATIENCE)
    with pytest.raises(Unavailable, match="try again"):
        await reports(busy).job(KEY, JobUpdate(array_id=5), "r")
    assert busy.executed == PATIENCE
