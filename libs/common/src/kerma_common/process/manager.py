"""Process managers are pure: state and event in; state, commands and timers out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kerma_common.projection.router import At

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Timer:
    """Wake the instance at a time, with this name; a later timer of the same name replaces it.

    With ``due`` None, the timer is removed.
    """

    name: str
    due: datetime | None


@dataclass(frozen=True)
class Reaction(Generic[S]):
    """The outcome of an event. With ``state`` None, the instance is deleted.

    Commands are private dataclasses of the same service. They are stored with the state in one
    transaction and executed from there, at least once, with commit ids that derive from the event,
    so that repeats change nothing.
    """

    state: S | None
    commands: tuple[object, ...] = ()
    timers: tuple[Timer, ...] = ()


class ProcessManager(Protocol[S]):
    """One multi-step story of one service.

    States and commands are dataclasses; they are stored as JSON.
    """

    @property
    def service(self) -> str:
        """The service that owns the story and executes its commands."""

    @property
    def name(self) -> str:
        """Unique within the service; part of every commit id, so it never changes."""

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams to follow."""

    @property
    def state_type(self) -> type[S]:
        """Dataclass of an instance's state."""

    @property
    def command_types(self) -> Mapping[str, type]:
        """Every command it may issue, under the name it is stored by."""

    @property
    def independent(self) -> frozenset[str]:
        """Kinds of aggregates whose events take effect in any order.

        If a commit of one cannot be decoded, it waits alone, and not its whole instance.
        """

    def key(self, event: Any) -> str | None:
        """Return the instance an event belongs to, or None if the process ignores it."""

    def handle(self, state: S | None, event: Any, at: At) -> Reaction[S]:
        """Return the reaction to an event."""

    def wake(self, state: S | None, key: str, timer: str, now: datetime) -> Reaction[S]:
        """Return the reaction to a timer."""
