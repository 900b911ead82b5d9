"""What the runner needs from the bus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kerma_common.contracts.rpc_runner import HeldLease, Ticket


class Tickets(Protocol):
    """Work tickets of each resource class: hints that may be lost, repeated or reordered."""

    async def open(self, resource_class: str) -> None:
        """Let workers of this class take tickets; idempotent."""

    async def clear(self, resource_class: str) -> None:
        """Drop every ticket that no worker has taken."""

    async def issue(self, resource_class: str, ticket: Ticket) -> None:
        """Offer a task."""

    async def pending(self, resource_class: str) -> int:
        """Tickets that no worker has taken, or has taken without a word."""


class Signals(Protocol):
    """Hints; what they hint at is found later without them."""

    async def stop(self, worker: str, leases: Sequence[HeldLease]) -> None:
        """Tell a worker to stop these leases now."""

    async def dispatch(self) -> None:
        """Tell whoever dispatches that there may be something to hand out."""
