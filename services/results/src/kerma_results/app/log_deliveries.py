"""Accepts logs of jobs that run outside of Kerma; each is appended, none replaces another."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kerma_common.commands.context import CommandContext
from kerma_common.contracts.refs import Ref
from kerma_common.contracts.subjects import job_log_subject
from kerma_common.domain import Rejected
from kerma_common.errors import WRONG_DATA, DomainRejected, InvalidRequest
from kerma_common.precedence import give_way
from kerma_common.security.update_keys import Verb
from kerma_results.app.callers import CANCELED, require_open
from kerma_results.app.deliveries import ACTOR
from kerma_results.app.logs import members
from kerma_results.domain.job_log import JOB_LOG, AppendLog

if TYPE_CHECKING:
    from datetime import datetime

    from kerma_common.blobs.store import BlobStore
    from kerma_common.commands.bus import CommandBus
    from kerma_common.room import Room
    from kerma_results.app.callers import Callers

MEDIA = "application/json"
MOST_FILES = 1000
MOST_NAME = 255
FIELD = "logfiles"


@dataclass(frozen=True, slots=True)
class LogDeliveries:
    """Accepts logs."""

    callers: Callers
    blobs: BlobStore
    bus: CommandBus
    room: Room
    clock: Callable[[], datetime]

    async def accept(
        self, simulation_id: object, update_key: object, logfiles: bytes, request_id: str
    ) -> int:
        """Append texts by name, as JSON; return the sequence in RESULTS.

        The same logs are appended once. Raises InvalidRequest, DomainRejected, Unavailable.
        """
        self.room.check()
        caller = await self.callers.verified(simulation_id, update_key, Verb.LOGS)
        require_open(caller, "logs", CANCELED)
        await _check(logfiles)
        subject = job_log_subject(caller.job_id)
        digest = await asyncio.to_thread(hashlib.sha256, logfiles)
        command = AppendLog(caller.job_id, Ref(digest.hexdigest(), len(logfiles), MEDIA))
        state, _ = await self.bus.state(JOB_LOG, subject)
        try:  # nothing is stored of a log that is refused
            JOB_LOG.decide(state, command)
        except Rejected as rejected:
            raise DomainRejected(rejected.code, rejected.message) from None
        ref = await self.blobs.put(logfiles, MEDIA)
        context = CommandContext(
            actor=ACTOR,
            cause=("log", caller.job_id, ref.sha256),
            correlation=request_id,
            now=self.clock(),
        )
        return (await self.bus.execute(JOB_LOG, subject, command, context)).seq


async def _check(logfiles: bytes) -> None:
    """Raise InvalidRequest for anything but texts by name, or for too many."""
    try:
        for count, (name, _) in enumerate(members(logfiles)):
            if count == MOST_FILES:
                reason = f"Has more than {MOST_FILES} files."
                raise InvalidRequest(WRONG_DATA, {FIELD: [reason]})
            if not 1 <= len(name) <= MOST_NAME:
                reason = f"A name must have 1 to {MOST_NAME} characters."
                raise InvalidRequest(WRONG_DATA, {FIELD: [reason]})
            await give_way()
    except ValueError:
        raise InvalidRequest(WRONG_DATA, {FIELD: ["Must be an object of texts."]}) from None
