"""The answer to a heartbeat: which leases a worker must stop."""

from kerma_common.contracts.rpc_runner import HeldLease
from kerma_runner.app.heartbeats import judge
from kerma_runner.read.queries import Known

HELD = HeldLease("job", 0, 2)


def verdict(state: str, lease: int, canceling: bool = False) -> str:
    cancel, stale = judge([HELD], {("job", 0): Known(state, lease, canceling)})
    return "cancel" if cancel else "stale" if stale else "valid"


def test_a_lease_that_rows_do_not_know_yet_is_valid() -> None:
    assert judge([HELD], {}) == ((), ())
    assert verdict("QUEUED", 1) == "valid"


def test_a_held_lease_is_valid_until_it_is_to_be_canceled() -> None:
    assert verdict("LEASED", 2) == "valid"
    assert verdict("RUNNING", 2) == "valid"
    assert verdict("RUNNING", 2, canceling=True) == "cancel"


def test_an_ended_or_older_lease_is_stale() -> None:
    assert verdict("RUNNING", 3) == "stale"
    assert verdict("QUEUED", 2) == "stale"
    assert verdict("CANCELED", 2, canceling=True) == "stale"
