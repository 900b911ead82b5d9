"""What the runner needs from the bus."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from kerma_common.contracts.rpc_runner import HeldLease, Lane, Ticket

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection


class Tickets(Protocol):
    """Work tickets of each lane: hints that may be lost, repeated or reordered."""

    async def open(self, lane: Lane) -> None:
        """Let workers of this lane take tickets; idempotent."""

    async def clear(self, lane: Lane) -> None:
        """Drop every ticket that no worker has taken."""

    async def issue(self, lane: Lane, ticket: Ticket, trace: str | None) -> None:
        """Offer a task; ``trace`` is the trace context that its worker goes on with."""

    async def pending(self, lane: Lane) -> int:
        """Tickets that no worker has taken, or has taken without a word."""


class Signals(Protocol):
    """Hints; what they hint at is found later without them."""

    async def stop(self, worker: str, leases: Sequence[HeldLease]) -> None:
        """Tell a worker to stop these leases now."""

    async def dispatch(self) -> None:
        """Tell whoever dispatches that there may be something to hand out."""


class HeartbeatStore(Protocol):
    """What workers said last."""

    async def beat(
        self, worker: str, leases: Sequence[HeldLease], now: datetime
    ) -> datetime | None:
        """Record that a worker was heard of, with its leases; when it was heard of before."""

    async def forget(self, worker: str) -> None:
        """Drop what a worker said."""

    async def forget_silent(
        self, conn: AsyncConnection, worker: str, seen: datetime | None
    ) -> None:
        """The same in a transaction, unless it has been heard of since ``seen``."""
