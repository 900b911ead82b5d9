"""The session aggregate, and the rules of refresh tokens.

A session is in the log only once it has ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import assert_never

from kerma_common.contracts.events import auth as events
from kerma_common.domain import Aggregate

SESSION_LIFE = timedelta(minutes=120)
"""Time from the login to the end of its session."""
GRACE = timedelta(seconds=30)
"""Time in which the former refresh token still gets its successor: two tabs of a browser refresh at
once, or an answer is lost."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A session and its current refresh token, the one of ``generation``."""

    session_id: str
    user_id: str
    username: str
    expires: datetime
    generation: int = 0
    rotated: datetime | None = None
    ended: datetime | None = None


class Use(Enum):
    """What it means that a refresh token is used."""

    ROTATE = "the current token: its successor takes its place"
    REPEAT = "the former token, a moment ago: the successor is handed out again"
    REUSE = "a token that was replaced longer ago: it may be stolen"
    OVER = "the session's time is over"
    ENDED = "the session was ended"


def use_of(grant: Grant, generation: int, now: datetime) -> Use:
    """Return what the use of a session's refresh token means."""
    if grant.ended is not None:
        return Use.ENDED
    if grant.expires <= now:
        return Use.OVER
    if generation == grant.generation:
        return Use.ROTATE
    just_now = grant.rotated is not None and now - grant.rotated <= GRACE
    return Use.REPEAT if generation == grant.generation - 1 and just_now else Use.REUSE


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
