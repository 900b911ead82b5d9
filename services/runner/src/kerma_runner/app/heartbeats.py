"""Heartbeats: one per worker renews all its leases; the answer names those to stop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kerma_common.contracts import rpc_runner as rpc
from kerma_runner.read.queries import HELD, Known

if TYPE_CHECKING:
    from kerma_common.infra import Clock
    from kerma_runner.app.claims import Terms
    from kerma_runner.app.ports import HeartbeatStore, Signals
    from kerma_runner.read.queries import QueueRows


def judge(
    leases: Sequence[rpc.HeldLease], rows: Mapping[tuple[str, int], Known]
) -> tuple[tuple[rpc.HeldLease, ...], tuple[rpc.HeldLease, ...]]:
    """Return the leases to cancel and the stale ones. Unknown tasks are neither: rows may lag."""
    cancel, stale = [], []
    for held in leases:
        row = rows.get((held.job_id, held.index))
        if row is None or row.lease < held.lease:
            continue
        if row.lease > held.lease or row.state not in HELD:
            stale.append(held)
        elif row.canceling:
            cancel.append(held)
    return tuple(cancel), tuple(stale)


@dataclass(frozen=True, slots=True)
class Heartbeats:
    """Handles heartbeats."""

    heard: HeartbeatStore
    rows: QueueRows
    signals: Signals
    clock: Clock
    terms: Terms

    async def hear(self, beat: rpc.Heartbeat) -> rpc.HeartbeatReply:
        """Renew the leases that a worker names, and return which of them to stop."""
        now = self.clock()
        before = await self.heard.beat(beat.worker, beat.leases, now)
        if before is None or now - before > self.terms.lease:
            await self.signals.dispatch()
        cancel, stale = judge(beat.leases, await self.rows.known(beat.leases))
        return rpc.HeartbeatReply(await self.rows.is_registered(beat.worker), cancel, stale)
