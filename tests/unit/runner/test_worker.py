"""A worker's registration, and when leases end."""

from datetime import UTC, datetime, timedelta

from kerma_common.contracts.events import runner as ev
from kerma_common.projection.router import At
from kerma_common.projection.rows.ops import Delete, Update
from kerma_runner.domain import leases
from kerma_runner.domain import worker as w
from kerma_runner.read.models import TASK, WORKER
from kerma_runner.read.project import QUEUE

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OFFER = w.Register("w1", "cpu", 2, {"geant4": "11"})


def test_an_offer_is_recorded_once_and_again_when_it_changes() -> None:
    state = w.WORKER.fold(w.WORKER.initial, w.decide(w.WORKER.initial, OFFER))
    assert state.slots == 2
    assert w.decide(state, OFFER) == ()
    assert len(w.decide(state, w.Register("w1", "cpu", 3, {"geant4": "11"}))) == 1


def test_a_retired_worker_offers_nothing_and_may_come_back() -> None:
    state = w.WORKER.fold(w.WORKER.initial, w.decide(w.WORKER.initial, OFFER))
    gone = w.WORKER.fold(state, w.decide(state, w.Retire("w1", "shutdown")))
    assert gone.slots == 0
    assert w.decide(gone, w.Retire("w1", "shutdown")) == ()
    assert len(w.decide(gone, OFFER)) == 1


def test_a_lease_ends_at_the_latest_of_promise_heartbeat_and_floor() -> None:
    a, b, c = (leases.LeaseKey("job", n, 1) for n in range(3))
    second = timedelta(seconds=1)
    held = {a: NOW + 9 * second, b: NOW + 5 * second, c: NOW}
    heard = {b: NOW + 7 * second}
    ends = leases.due(held, heard, NOW + 3 * second)
    assert [(d.key, d.until - NOW) for d in ends] == [
        (c, 3 * second),
        (b, 7 * second),
        (a, 9 * second),
    ]
    assert [d.key for d in leases.over(ends, NOW + 7 * second)] == [c, b]


def test_a_lease_of_a_worker_that_is_gone_has_ended() -> None:
    gone, other = (leases.LeaseKey("job", n, 1) for n in range(2))
    # neither an earlier heartbeat nor a runner that could not hear changes that
    later = NOW + timedelta(seconds=9)
    ends = leases.due({other: later, gone: None}, {gone: later}, later)
    assert [d.key for d in leases.over(ends, NOW)] == [gone]


def test_what_a_worker_held_that_died_is_not_waited_for() -> None:
    at = At("RUNNER", 1, "id", NOW, "w1", "a")
    gone = Delete(WORKER, {"worker": "w1"})
    assert QUEUE.project(ev.WorkerRetired(worker="w1", reason="LOST"), at) == (gone,)
    assert QUEUE.project(ev.WorkerRetired(worker="w1", reason="DIED"), at) == (
        gone,
        Update(TASK, {"worker": "w1"}, {"until": None}),
    )
