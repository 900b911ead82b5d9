"""What the runner needs from the bus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kerma_common.contracts.rpc_runner import HeldLease, Lane, Ticket


class Tickets(Protocol):
    """Work tickets of each lane: hints that may be lost, repeated or reordered."""

    async def open(self, lane: Lane) -> None:
        """Let workers of this lane take tickets; idempotent."""

    async def clear(self, lane: Lane) -> None:
        """Drop every ticket that no worker has taken."""

    async def issue(self, lane: Lane, ticket: Ticket) -> None:
        """Offer a task."""

    async def pending(self, lane: Lane) -> int:
        """Tickets that no worker has taken, or has taken without a word."""


class Signals(Protocol):
    """Hints; what they hint at is found later without them."""

    async def stop(self, worker: str, leases: Sequence[HeldLease]) -> None:
        """Tell a worker to stop these leases now."""

    async def dispatch(self) -> None:
        """Tell whoever dispatches that there may be something to hand out."""
