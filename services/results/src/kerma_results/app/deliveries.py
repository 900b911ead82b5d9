"""Accepts the merged results of jobs that run outside of Kerma.

The key is read from the beginning of a body (``heads``) and verified before the body gets a place. The
body is read while it arrives, by a process of its own. Nothing is stored of a body that breaks a rule,
and nothing can be seen before one commit says that everything is there. From then on the result set is
published like a merged one (``merging``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kerma_common.commands.context import CommandContext
from kerma_common.contracts.subjects import result_set_subject
from kerma_common.domain import Rejected
from kerma_common.errors import (
    WRONG_DATA,
    ContractViolation,
    DomainRejected,
    InvalidRequest,
    NotFound,
)
from kerma_common.http.body.heads import Head, Identity
from kerma_common.security.update_keys import Verb
from kerma_results.app.callers import Caller, Callers, require_open
from kerma_results.domain.commands import AcceptDelivery, MaterialiseEstimator
from kerma_results.domain.result_set import RESULT_SET, Phase, check_delivery

if TYPE_CHECKING:
    from datetime import datetime

    from kerma_common.blobs.store import BlobStore
    from kerma_common.commands.bus import CommandBus
    from kerma_common.room import Room
    from kerma_results.app.places import Places
    from kerma_results.app.ports import DeliveryBodies, DeliveryStore, KeptEstimator

ACTOR = "svc:results"


@dataclass(frozen=True, slots=True)
class Deliveries:
    """Accepts delivered results."""

    callers: Callers
    bodies: DeliveryBodies[Any]
    store: DeliveryStore[Any]
    blobs: BlobStore
    bus: CommandBus
    places: Places
    room: Room
    clock: Callable[[], datetime]

    async def accept(self, pieces: AsyncIterator[bytes], *, gzipped: bool, request_id: str) -> int:
        """Accept a body; return the sequence in RESULTS that a reader must have passed.

        Raises InvalidRequest naming what is wrong with the body, DomainRejected for results that
        the job does not accept, TooManyRequests, Unavailable.
        """
        self.room.check()
        head, first = Head(gzipped=gzipped), list[bytes]()
        async for piece in pieces:
            first.append(piece)
            if head.feed(piece):
                break
        identity = head.identity()
        caller = await self._admitted(identity)
        async with (
            self.places.place(caller.job.owner, caller.job_id),
            self.bodies.open(gzipped=gzipped) as body,
        ):
            for piece in first:
                await body.feed(piece)
            async for piece in pieces:
                await body.feed(piece)
            await body.end()
            await self._admitted(identity)  # it may take long: the key may be void by now
            return await self._keep(caller, identity, body, request_id)

    async def _admitted(self, identity: Identity) -> Caller:
        caller = await self.callers.verified(*identity, Verb.RESULTS)
        require_open(caller, "results")
        await self._check(caller.job_id)
        return caller

    async def _check(self, job_id: str, digest: str | None = None) -> tuple[Phase, int]:
        """Raise DomainRejected if the job accepts no results, or none of this digest."""
        state, seq = await self.bus.state(RESULT_SET, result_set_subject(job_id))
        try:
            check_delivery(state, digest)
        except Rejected as rejected:
            raise DomainRejected(rejected.code, rejected.message) from None
        return state.phase, seq

    async def _keep(self, caller: Caller, identity: Identity, body: Any, request_id: str) -> int:
        try:
            inputs = await self.blobs.get(caller.job.input_ref)
        except (NotFound, ContractViolation):
            reason = "The inputs of the job cannot be read any more."
            raise InvalidRequest(WRONG_DATA, {"simulation_id": [reason]}) from None
        digest = await body.match(inputs)
        phase, seq = await self._check(caller.job_id, digest)
        if phase is Phase.COMPLETE:
            return seq
        estimators = [
            _materialised(index, kept) async for index, kept in _numbered(self.store.keep(body))
        ]
        await self._admitted(identity)  # storing takes long, too
        command = AcceptDelivery(
            caller.job_id, digest, tuple(estimators), caller.job.n_tasks, caller.job.primaries
        )
        context = CommandContext(
            actor=ACTOR,
            cause=("results", caller.job_id, digest),
            correlation=request_id,
            now=self.clock(),
        )
        subject = result_set_subject(caller.job_id)
        return (await self.bus.execute(RESULT_SET, subject, command, context)).seq


def _materialised(index: int, kept: KeptEstimator) -> MaterialiseEstimator:
    return MaterialiseEstimator(
        index,
        kept.name,
        kept.metadata_ref,
        kept.kept.pages,
        kept.kept.manifest_ref,
        kept.kept.stored_bytes + kept.metadata_ref.size,
    )


async def _numbered(
    kept: AsyncIterator[KeptEstimator],
) -> AsyncIterator[tuple[int, KeptEstimator]]:
    index = 0
    async for one in kept:
        yield index, one
        index += 1
