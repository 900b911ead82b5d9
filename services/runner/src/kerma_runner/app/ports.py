"""Ports of the runner: tickets, signals, heartbeats."""

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
        """Let the workers of a lane take its tickets; idempotent."""

    async def clear(self, lane: Lane) -> None:
        """Delete every ticket that no worker has taken."""

    async def issue(self, lane: Lane, ticket: Ticket, trace: str | None) -> None:
        """Issue a ticket for a task; its worker continues the trace context ``trace``."""

    async def pending(self, lane: Lane) -> int:
        """Return the tickets that no worker has taken, or that were taken and not acknowledged."""


class Signals(Protocol):
    """Hints that save waiting: what they announce is found without them too, later."""

    async def stop(self, worker: str, leases: Sequence[HeldLease]) -> None:
        """Tell a worker to stop these leases now."""

    async def dispatch(self) -> None:
        """Tell the dispatcher that there may be tasks to dispatch."""


class HeartbeatStore(Protocol):
    """The last heartbeat of each worker."""

    async def beat(
        self, worker: str, leases: Sequence[HeldLease], now: datetime
    ) -> datetime | None:
        """Record a heartbeat and its leases; return the time of the one before."""

    async def forget(self, worker: str) -> None:
        """Delete what is known of a worker."""

    async def forget_silent(
        self, conn: AsyncConnection, worker: str, seen: datetime | None
    ) -> None:
        """Do the same in a transaction, unless the worker was heard after ``seen``."""
