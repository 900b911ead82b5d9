"""Who listens is told everything once: however a reading for all and a beginning fall together."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from kerma_common.http.event_stream import MOST_UNSENT
from kerma_common.security.principal import Principal
from kerma_jobs.app.live_updates import Batch, Listener, LiveUpdates, Shown
from kerma_jobs.read.changes import MOST, ChangedJob, Changes, Position

OWNER = "ada"


def changed(job_id: str, at: int, state: str) -> Any:
    job = SimpleNamespace(job_id=job_id, owner=OWNER, state=state)
    return SimpleNamespace(job=job, running=(), at=Position(at, 0, 0))


async def show(found: ChangedJob) -> Shown:
    return Shown(
        f'"{found.job.job_id} {found.job.state}"'.encode(), waits=found.job.state == "PENDING"
    )


@dataclass
class Rows:
    """Jobs by the position of their last change, all of one owner."""

    jobs: dict[str, tuple[int, str]] = field(default_factory=dict)
    deleted: dict[str, int] = field(default_factory=dict)
    at: int = 1

    def change(self, job_id: str, state: str = "PENDING") -> None:
        self.at += 1
        self.jobs[job_id] = self.at, state

    def delete(self, job_id: str) -> None:
        self.at += 1
        del self.jobs[job_id]
        self.deleted[job_id] = self.at

    async def position(self) -> Position:
        return Position(self.at, 0, 0)

    async def since(
        self,
        before: Position,
        owners: Collection[str],
        jobs: Collection[str] = (),
        *,
        most: int = MOST,
    ) -> Changes:
        every = before.runner < 0
        found = [
            changed(job_id, at, state)
            for job_id, (at, state) in self.jobs.items()
            if at > before.jobs or every or job_id in jobs
        ]
        gone = {job_id: OWNER for job_id, at in self.deleted.items() if at > before.jobs}
        now = Position(self.at, 0, 0)
        if len(found) + len(gone) > most:
            return Changes(now, (), {}, complete=False)
        return Changes(now, found, gone)


def heard(listener: Listener) -> list[tuple[str, str | None]]:
    """Return what waits for a client: data, or the kind, with the id."""
    told = []
    for event in listener.mailbox.take().decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in event.splitlines())
        told.append((fields["data"].strip('"') or fields["event"], fields.get("id")))
    return told


def updates(rows: Rows) -> LiveUpdates:
    return LiveUpdates(rows, show)


async def opened(
    of: LiveUpdates, last_id: str | None = None, job_id: str | None = None
) -> Listener:
    return await of.open(Principal(OWNER, "session"), job_id, last_id)


async def test_only_the_last_event_of_those_told_together_has_an_id() -> None:
    rows = Rows()
    live = updates(rows)
    rows.change("a")
    rows.change("b")
    listener = await opened(live)
    assert heard(listener) == [("a PENDING", None), ("b PENDING", None), ("{}", "3-0-0")]
    rows.change("a", "RUNNING")
    rows.change("c")
    rows.delete("b")
    await live._tell_all()
    assert heard(listener) == [
        ("a RUNNING", None),
        ("c PENDING", None),
        ('{"id":"b"}', "6-0-0"),
    ]


async def test_who_is_cut_off_in_between_goes_on_before_and_misses_none() -> None:
    rows = Rows()
    live = updates(rows)
    listener = await opened(live)
    ((_, position),) = heard(listener)
    for name in "abc":
        rows.change(name)
    await live._tell_all()
    first, *_ = heard(listener)
    assert first == ("a PENDING", None)
    again = await opened(updates(rows), position)
    assert [data for data, _ in heard(again)] == ["a PENDING", "b PENDING", "c PENDING", "{}"]


async def test_what_a_beginning_told_the_next_reading_for_all_does_not_repeat() -> None:
    rows = Rows()
    live = updates(rows)
    early = await opened(live)
    heard(early)
    rows.change("a")
    rows.change("b")
    rows.delete("b")
    late = await opened(live, "1-0-0")
    assert [data for data, _ in heard(late)] == ["a PENDING", '{"id":"b"}', "{}"]
    rows.change("c")
    await live._tell_all()
    assert [data for data, _ in heard(early)] == ["a PENDING", "c PENDING", '{"id":"b"}']
    assert heard(late) == [("c PENDING", "5-0-0")]
    # a state that comes again later is news
    rows.change("a", "RUNNING")
    await live._tell_all()
    rows.change("a", "PENDING")
    await live._tell_all()
    assert [data for data, _ in heard(late)] == ["a PENDING"]


async def test_an_id_that_a_newer_state_replaces_takes_nothing_with_it() -> None:
    """What a slow client has not read yet still leads to everything, wherever it is cut."""
    rows = Rows()
    live = updates(rows)
    listener = await opened(live)
    heard(listener)
    rows.change("a")
    rows.change("b")
    await live._tell_all()
    rows.change("b", "RUNNING")
    rows.change("c")
    await live._tell_all()
    assert heard(listener) == [("a PENDING", None), ("b RUNNING", None), ("c PENDING", "5-0-0")]


async def test_a_stream_of_one_job_begins_with_no_other_that_changes_meanwhile() -> None:
    class Moving(Rows):
        async def position(self) -> Position:
            before = await super().position()
            self.change("b")
            return before

    rows = Moving()
    rows.change("a")
    listener = await updates(rows).open(Principal(OWNER, "session"), "a", None)
    assert [data for data, _ in heard(listener)] == ["a PENDING", "{}"]


def test_a_batch_larger_than_a_mailbox_closes_it() -> None:
    listener = Listener(Principal(OWNER, "session"), None)
    batch = Batch("1-0-0")
    for number in range(MOST_UNSENT + 1):
        batch.add((listener,), str(number), "job", b"{}")
    batch.send()
    assert listener.mailbox.closed
    assert listener.mailbox.take() == b""


@pytest.mark.parametrize("last_id", [None, "1-0-0", "2-0-0"])
@pytest.mark.parametrize("job_id", [None, "a"])
async def test_a_job_that_one_hears_of_first_is_told_to_all(
    job_id: str | None, last_id: str | None
) -> None:
    rows = Rows()
    live = updates(rows)
    early = await opened(live)
    heard(early)
    rows.change("a")
    await opened(live, last_id, job_id)
    await live._tell_all()
    assert heard(early) == [("a PENDING", "2-0-0")]


async def test_who_listens_alone_to_a_job_is_not_told_again_why_it_waits() -> None:
    rows = Rows()
    live = updates(rows)
    rows.change("a")
    listener = await opened(live)
    heard(listener)
    await live._tell_all()
    live._look_again()
    await live._tell_all()
    assert heard(listener) == []


async def test_a_reading_that_fails_amid_its_jobs_is_repeated_whole() -> None:
    rows, fails = Rows(), {"b"}

    async def shown(found: ChangedJob) -> Shown:
        if found.job.job_id in fails:
            raise ConnectionError
        return await show(found)

    live = LiveUpdates(rows, shown)
    listener = await opened(live)
    heard(listener)
    rows.change("a")
    rows.change("b")
    with pytest.raises(ConnectionError):
        await live._tell_all()
    assert heard(listener) == []
    fails.clear()
    await live._tell_all()
    assert heard(listener) == [("a PENDING", None), ("b PENDING", "3-0-0")]


@pytest.mark.parametrize("state", ["PENDING", "RUNNING"])
async def test_what_was_heard_elsewhere_is_not_told_where_others_have_not_heard_it_yet(
    state: str,
) -> None:
    rows = Rows()
    live = updates(rows)
    early = await opened(live)
    heard(early)
    rows.change("a", state)
    rows.change("b", state)
    late = await opened(live, "2-0-0")
    assert [data for data, _ in heard(late)] == [f"b {state}", "{}"]
    rows.change("c")
    await live._tell_all()
    assert [data for data, _ in heard(early)] == [f"a {state}", f"b {state}", "c PENDING"]
    assert [data for data, _ in heard(late)] == ["c PENDING"]
    rows.change("a", "MERGING")
    await live._tell_all()
    assert [data for data, _ in heard(late)] == ["a MERGING"]
