"""The session aggregate; a session is in the log only once it has ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from kerma_common.contracts.events import auth as events
from kerma_common.domain import Aggregate


@dataclass(frozen=True, slots=True)
class EndSession:
    """End a session; its last token expires at ``expires``."""

    user_id: str
    session_id: str
    expires: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """State of one session."""

    ended: bool = False


def decide(session: Session, command: EndSession) -> tuple[object, ...]:
    """Return the events of a command."""
    if session.ended:
        return ()
    return (
        events.SessionEnded(
            user_id=command.user_id, session_id=command.session_id, expires=command.expires
        ),
    )


def evolve(_session: Session, event: events.SessionEnded) -> Session:
    """Return the state after an event."""
    match event:
        case events.SessionEnded():
            return Session(ended=True)
        case _:
            assert_never(event)


SESSION: Aggregate[Session] = Aggregate("auth", "session", Session(), decide, evolve)
