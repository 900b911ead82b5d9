"""Users who were removed: when their jobs are deleted, and when nothing is left."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kerma_common.contracts.events import auth, jobs
from kerma_common.process.manager import Reaction, Timer
from kerma_common.projection.router import At
from kerma_jobs.app.departures import AGAIN, LAST, LATE, LEFT, DeleteJobs, Departures, Leaving
from kerma_jobs.domain.owner import OWNER, ConcludeRemoval, Owner

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
STARTED = auth.UserRemovalStarted(user_id="u", removal="r")
DEPARTURES = Departures()


@pytest.mark.parametrize(
    "event",
    [
        auth.UserRemoved(user_id="u"),
        auth.AccountDisabled(user_id="u"),
        auth.UserRegistered(user_id="u", source="native"),
    ],
)
def test_other_events_of_users_do_not_matter(event: object) -> None:
    assert DEPARTURES.key(event) is None
    assert DEPARTURES.key(STARTED) == "u"


def test_jobs_are_deleted_at_once_and_again_before_it_is_said_that_none_is_left() -> None:
    at = At("AUTH", 7, "e", NOW, "u", "user:o")
    delete = DeleteJobs("u", "r")
    begun = DEPARTURES.handle(None, STARTED, at)
    timers = (Timer(LATE, NOW + AGAIN), Timer(LEFT, NOW + LAST))
    assert begun == Reaction(Leaving("r"), (delete,), timers)
    late = DEPARTURES.wake(begun.state, "u", LATE, NOW + AGAIN)
    assert late == Reaction(Leaving("r"), (delete,))
    left = DEPARTURES.wake(late.state, "u", LEFT, NOW + LAST)
    assert left == Reaction(None, (ConcludeRemoval("u", "r"),))
    assert DEPARTURES.wake(None, "u", LEFT, NOW + LAST) == Reaction(None)


def test_a_removal_is_concluded_once() -> None:
    command = ConcludeRemoval("u", "r")
    concluded = OWNER.decide(Owner(), command)
    assert concluded == (jobs.OwnerJobsDeleted(user_id="u", removal="r"),)
    after = OWNER.fold(Owner(), concluded)
    assert OWNER.decide(after, command) == ()
    again = ConcludeRemoval("u", "r2")
    assert OWNER.decide(after, again) == (jobs.OwnerJobsDeleted(user_id="u", removal="r2"),)
