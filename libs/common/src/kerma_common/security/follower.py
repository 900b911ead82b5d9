"""The follower of AUTH that keeps the identity of a process up to date."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import nats.errors

from kerma_common.clock import until_next
from kerma_common.contracts.events.auth import (
    AccountDisabled,
    AccountEnabled,
    ApiTokenCreated,
    ApiTokenRevoked,
    RoleGranted,
    RoleRevoked,
    SessionEnded,
    SessionsRevoked,
    SigningKeyIntroduced,
    SigningKeyRetired,
)
from kerma_common.contracts.registry import adapter
from kerma_common.eventlog.pull import LogWentBackwards
from kerma_common.poison import Source, record_poison
from kerma_common.precedence import STEP, give_way
from kerma_common.projection.decoding import typed_events
from kerma_common.projection.retries.failures import LoopHalted, delays, pause
from kerma_common.projection.retries.persistence import Persistence
from kerma_common.security.api_tokens import MOST_REPORTED, USED_SIGNAL, TokensUsed
from kerma_common.security.identity import KEPT, STREAM

if TYPE_CHECKING:
    from nats.aio.client import Client

    from kerma_common.contracts.envelope import Recorded
    from kerma_common.eventlog.port import EventLog
    from kerma_common.security.identity import Identity

NAME = "identity"
WANTED = frozenset(
    kind.__name__
    for kind in (
        SigningKeyIntroduced,
        SigningKeyRetired,
        SessionEnded,
        SessionsRevoked,
        RoleGranted,
        RoleRevoked,
        AccountDisabled,
        AccountEnabled,
        ApiTokenCreated,
        ApiTokenRevoked,
    )
)
LASTING = tuple(f"ev.auth.{aggregate}.>" for aggregate in ("keyring", "account", "api_token"))
"""Subjects that are read from their beginning."""
LOOK_SECONDS = 3.0
"""Seconds between two looks at the end of AUTH, and the time limit of each."""


@dataclass(slots=True)
class Follower:
    """Reads keys, API tokens, disabled accounts and recent revocations, then follows AUTH.

    ``service`` labels its metrics.

    Run ``run`` as a background task, once per process.
    """

    identity: Identity
    log: EventLog
    client: Client
    service: str
    retries: Persistence = field(init=False)
    _epoch: str = field(default="", init=False)

    def __post_init__(self) -> None:
        self.retries = Persistence(self.service, NAME)

    async def run(self) -> None:
        """Follow until cancelled. Raises LogWentBackwards, possibly in a group."""
        after = await self.retries.persist(self._load)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(after))
            group.create_task(self._watch())

    async def _load(self) -> int:
        """Read what is kept for ever; return the sequence after which recent revocations come."""
        self._epoch = (await self.log.state(STREAM)).epoch
        after = await self.log.before(STREAM, datetime.now(UTC) - KEPT)
        # What is stored after this was read has a later sequence.
        for subjects in LASTING:
            await self._take(await self.log.history(STREAM, subjects))
        self.identity.advance(after)
        return after

    async def _follow(self, after: int) -> None:
        waits = delays()
        while True:
            try:
                async with self.log.follow(STREAM, after) as batches:
                    async for batch in batches:
                        self.retries.recovered(STREAM)
                        waits = delays()
                        await self._take(batch)
                        after = batch[-1].seq
                        self.identity.advance(after)
            except Exception as error:
                self.retries.failed(STREAM, error)
                await pause(waits)

    async def _watch(self) -> None:
        while True:
            await self.retries.persist(self._look)
            await self._report()
            await asyncio.sleep(until_next(LOOK_SECONDS))

    async def _look(self) -> None:
        """Compare what is known with the end of AUTH."""
        asked = self.identity.clock()
        async with asyncio.timeout(LOOK_SECONDS):
            state = await self.log.state(STREAM)
            if state.epoch != self._epoch:
                raise LogWentBackwards(
                    f"{STREAM} was restored: its epoch is {state.epoch}, not {self._epoch}"
                )
            if await self.identity.wait(state.last, LOOK_SECONDS):
                self.identity.saw_end(asked)

    async def _report(self) -> None:
        """Tell auth which API tokens were used; a lost report does not matter."""
        if token_ids := self.identity.take_used(MOST_REPORTED):
            body = adapter(TokensUsed).dump_json(TokensUsed(token_ids))
            with suppress(nats.errors.Error, OSError):
                await self.client.publish(USED_SIGNAL, body)

    async def _take(self, records: Sequence[Recorded]) -> None:
        for number, record in enumerate(records, start=1):
            try:
                for event, _ in typed_events([record], self.service, NAME, WANTED):
                    self.identity.apply(event)
            except LoopHalted:
                raise
            except Exception as error:
                subject = f"{record.stream}:{record.subject}"
                reason = f"{type(error).__name__}: {error}"
                await record_poison(self.client, Source.LOG, subject, None, reason, seq=record.seq)
            if number % STEP == 0:
                await give_way()
