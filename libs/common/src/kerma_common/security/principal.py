"""Who calls, and the port that finds it out."""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, as a verified token says."""

    user_id: str
    session_id: str
    roles: frozenset[str] = field(default_factory=frozenset)
    username: str | None = None


class Verifier(Protocol):
    """Turns a token into a principal; raises `Forbidden` for a void or expired one."""

    async def __call__(self, token: str) -> Principal:
        """Verify."""
