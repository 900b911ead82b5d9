"""Who sends a command, when and why: everything a decision may not make up."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from kerma_common.contracts.ids import commit_id

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class CommandContext:
    """Context of a command. The same ``cause`` on the same aggregate is stored once.

    ``cause`` determines the commit id. ``correlation`` is the first command of the story,
    ``causation`` the id of the event that a policy reacted to, ``after`` the positions that a
    reader of the commit must have passed.
    """

    actor: str
    cause: tuple[str, ...]
    correlation: str
    now: datetime
    causation: str | None = None
    after: Mapping[str, int] = field(default_factory=dict)

    def commit_id(self, subject: str) -> str:
        """Return the id of the commit that this context causes on an aggregate."""
        return commit_id(*self.cause, subject)

    def step(self, name: str) -> CommandContext:
        """Return the same context for another command of the same cause."""
        return replace(self, cause=(*self.cause, name))
