"""The runner as a worker sees it: requests, tickets, and telling progress."""

from __future__ import annotations

import asyncio
import logging
import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import nats.errors
import orjson

from kerma_common.bus import telemetry
from kerma_common.bus.rpc import call
from kerma_common.contracts import rpc_runner as rpc
from kerma_common.contracts.registry import adapter
from kerma_common.contracts.telemetry import TaskProgress
from kerma_common.errors import ContractViolation, Unavailable

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

    from kerma_engines.engine import Progress

T = TypeVar("T")
PULL_SECONDS = 5.0
_MARGIN_SECONDS = 2.0
_FIRST_RETRY, _LAST_RETRY = 0.1, 5.0
_log = logging.getLogger(__name__)

RETRYABLE = (Unavailable, ContractViolation)
"""Failures of requests that a worker sits out: a runner that faults may be replaced by a sound
one, and the engines go on meanwhile."""


class RunnerClient:
    """Requests to the runner; each is safe to repeat."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def ask(self, subject: str, request: object, reply: type[T]) -> T:
        """One try. Raises Unavailable, DomainRejected or ContractViolation."""
        return await call(self._client, subject, request, reply)

    async def insist(self, subject: str, request: object, reply: type[T]) -> T:
        """Until it is answered, for ever: the result of hours of work waits here."""
        delay = _FIRST_RETRY
        while True:
            try:
                return await self.ask(subject, request, reply)
            except RETRYABLE as error:
                _log.info("runner away", extra={"subject": subject, "reason": error.message})
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                delay = min(2 * delay, _LAST_RETRY)

    async def next_ticket(self, resource_class: str) -> tuple[rpc.Ticket, Msg] | None:
        """A ticket, if one comes within some seconds. Raises Unavailable without a consumer.

        The server ends the request by a message, so that no ticket is on its way to a reader
        that has given up.
        """
        inbox = self._client.new_inbox()
        subscription = await self._client.subscribe(inbox)
        request = {"batch": 1, "expires": int(PULL_SECONDS * 1e9)}
        consumer = f"{rpc.WORK_STREAM}.{rpc.ticket_consumer(resource_class)}"
        try:
            await self._client.publish(
                f"$JS.API.CONSUMER.MSG.NEXT.{consumer}", orjson.dumps(request), reply=inbox
            )
            message = await subscription.next_msg(PULL_SECONDS + _MARGIN_SECONDS)
        except nats.errors.TimeoutError:
            return None
        except (nats.errors.Error, OSError) as error:
            raise Unavailable(f"no tickets: {type(error).__name__}") from error
        finally:
            await _end(subscription)
        return await self._ticket(message)

    async def _ticket(self, message: Msg) -> tuple[rpc.Ticket, Msg] | None:
        status = (message.headers or {}).get("Status")
        if status == "408":
            return None
        if status is not None:
            raise Unavailable(f"no tickets: status {status}")
        try:
            ticket: rpc.Ticket = adapter(rpc.Ticket).validate_json(message.data)
        except ValueError:
            _log.warning("a ticket that is none")
            await self.settle(message)
            return None
        return ticket, message

    async def settle(self, message: Msg) -> None:
        """Acknowledge a ticket: what it hinted at is decided. A lost acknowledgement is harmless."""
        try:
            await self._client.publish(message.reply, b"+ACK")
        except (nats.errors.Error, OSError):
            _log.info("acknowledgement lost")

    async def tell(self, held: rpc.HeldLease, progress: Progress) -> None:
        """Publish how far a task is."""
        told = TaskProgress(
            held.job_id,
            held.index,
            held.lease,
            progress.primaries,
            progress.eta_seconds,
            datetime.now(UTC),
        )
        await telemetry.tell_progress(self._client, told)


async def _end(subscription: object) -> None:
    try:
        await subscription.unsubscribe()  # type: ignore[attr-defined]
    except (nats.errors.Error, OSError):
        _log.debug("unsubscribed from a closed connection")
