"""Parts of projections that need no database."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest
import sqlalchemy as sa

from kerma_common.commands.consistency import Watermarks
from kerma_common.contracts.envelope import Commit, Meta, Recorded, StoredEvent
from kerma_common.contracts.events import runner
from kerma_common.errors import ContractViolation, DomainRejected, Unavailable
from kerma_common.projection.decoding import typed_events
from kerma_common.projection.lease import is_gone, process_identity
from kerma_common.projection.loop import LogLoop
from kerma_common.projection.retries import persistence
from kerma_common.projection.retries.failures import LoopHalted, is_transient
from kerma_common.projection.router import Projection
from kerma_common.projection.runner import ProjectionSink
from kit.events.projecting import NOW, read_model


async def test_waiters_wake_at_their_own_number() -> None:
    marks = Watermarks()
    marks.advance(("a",), 3)
    assert await marks.wait(("a",), 3, 0)
    five = asyncio.create_task(marks.wait(("a",), 5, 10))
    six = asyncio.create_task(marks.wait(("a",), 6, 10))
    await asyncio.sleep(0)
    marks.advance(("b",), 9)
    marks.advance(("a",), 5)
    assert await five
    assert not six.done()
    marks.advance(("a",), 4)
    assert marks["a",] == 5
    marks.advance(("a",), 7)
    assert await six
    assert not await marks.wait(("a",), 8, 0)


def test_a_process_that_ended_is_gone() -> None:
    code = "from kerma_common.projection.lease import process_identity as p; print(p(), flush=True)"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    ).stdout.strip()
    assert is_gone(ended)
    assert not is_gone(process_identity())
    host, *rest = ended.split("|")
    assert not is_gone("|".join((f"not-{host}", *rest)))
    assert not is_gone("worker-7")


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (Unavailable("nobody answers"), True),
        (ConnectionResetError(), True),
        (sa.exc.TimeoutError(), True),
        (DomainRejected("NO", "no"), False),
        (ContractViolation("never"), False),
        (KeyError("bug"), False),
        (FileNotFoundError("blob"), False),
    ],
)
def test_only_what_may_pass_is_tried_again(error: Exception, passes: bool) -> None:
    assert is_transient(error) is passes


def _record(context: str, name: str, version: int = 1) -> Recorded:
    event = StoredEvent("c.0", name, version, NOW, {"job_id": "a"})
    meta = Meta("user:u", "Test", "c", context)
    commit = Commit("c", "thing", "a", 1, meta, (event,))
    return Recorded(context.upper(), 1, f"ev.{context}.thing.00.a", commit)


def test_an_unknown_event_of_the_own_service_halts() -> None:
    with pytest.raises(LoopHalted, match="JobTeleported version 1 at JOBS:1"):
        typed_events([_record("jobs", "JobTeleported")], "jobs", "jobs")
    with pytest.raises(LoopHalted, match="JobDeleted version 9"):
        typed_events([_record("jobs", "JobDeleted", 9)], "jobs", "jobs", wanted=())


def test_an_unknown_event_of_another_service_is_ignored() -> None:
    assert typed_events([_record("runner", "TaskTeleported")], "jobs", "jobs") == []


def test_a_private_event_of_another_service_cannot_be_projected() -> None:
    projection = Projection("jobs", "jobs", ("RUNNER",), sa.MetaData())
    with pytest.raises(ContractViolation, match="TaskLeased is private to runner"):
        projection.on(runner.TaskLeased)


async def test_a_loop_is_unready_while_it_fails_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = LogLoop(ProjectionSink(read_model()), None, None)  # type: ignore[arg-type]
    observed: list[bool] = []

    async def action() -> str:
        if len(observed) < 2:
            observed.append(loop.ready)
            raise Unavailable("no database")
        observed.append(loop.ready)
        return "done"

    monkeypatch.setattr(persistence, "UNREADY_SECONDS", 0.0)
    assert await loop.retries.persist(action) == "done"
    assert observed == [True, False, False]
    assert loop.ready
