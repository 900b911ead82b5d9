"""The owner aggregate: a user of whom no job is left after a removal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from kerma_common.contracts.events import jobs as events
from kerma_common.domain import Aggregate


@dataclass(frozen=True, slots=True)
class ConcludeRemoval:
    """Say that no jobs of a removed user are left."""

    user_id: str
    removal: str


@dataclass(frozen=True, slots=True)
class Owner:
    """State of one user; ``removal`` is the last one after which no jobs were left."""

    removal: str = ""


def decide(owner: Owner, command: ConcludeRemoval) -> tuple[object, ...]:
    """Return the events of a command."""
    if owner.removal == command.removal:
        return ()
    return (events.OwnerJobsDeleted(user_id=command.user_id, removal=command.removal),)


def evolve(_owner: Owner, event: events.OwnerJobsDeleted) -> Owner:
    """Return the state after an event."""
    match event:
        case events.OwnerJobsDeleted():
            return Owner(event.removal)
        case _:
            assert_never(event)


OWNER: Aggregate[Owner] = Aggregate("jobs", "owner", Owner(), decide, evolve)
