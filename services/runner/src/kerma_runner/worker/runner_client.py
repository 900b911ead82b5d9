"""The worker's client of the runner: requests, tickets and progress."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import nats.errors
import orjson

from kerma_common.bus import telemetry
from kerma_common.bus.bundles import Bundler
from kerma_common.bus.decoding import decode
from kerma_common.bus.rpc import call
from kerma_common.clock import until_next
from kerma_common.contracts import rpc_runner as rpc
from kerma_common.contracts.progress import TaskProgress
from kerma_common.errors import ContractViolation, Unavailable
from kerma_common.poison import Malformed, Source, record_poison, sequence_of

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

    from kerma_common.bus.faststream import EdgeBroker
    from kerma_engines.adapter.port import Progress

T = TypeVar("T")
PULL_SECONDS = 6.0
"""Longest request for a ticket. Without one, the requests of all slots end at the same moments."""
_SHORTEST_PULL = 0.2
_MARGIN_SECONDS = 2.0
_NOTHING_CAME = "408"
_FIRST_RETRY, _GROWTH, _LAST_RETRY = 0.1, 1.3, 5.0
_CLAIM_AGAIN, _LAST_CLAIM = 2.0, 10.0
"""Seconds until a ticket whose claim failed comes back: the first time, and at most."""
_log = logging.getLogger(__name__)

RETRYABLE = (Unavailable, ContractViolation)
"""Errors of requests that a worker retries.

Another replica may replace a broken runner, and the engines go on meanwhile.
"""


class RunnerClient:
    """Requests to the runner; each is safe to repeat."""

    def __init__(self, broker: EdgeBroker) -> None:
        self._broker = broker
        self._client = broker.client
        self._bundler = Bundler(broker, rpc.BUNDLE)

    async def ask(self, subject: str, request: object, reply: type[T]) -> T:
        """Send a request once. Raises Unavailable, DomainRejected or ContractViolation."""
        if subject in rpc.BUNDLED:
            return await self._bundler.call(subject, request, reply)
        return await call(self._broker, subject, request, reply)

    async def ask_until_answered(self, subject: str, request: object, reply: type[T]) -> T:
        """Send a request until it is answered: a report may hold the result of hours of work."""
        delay = _FIRST_RETRY
        while True:
            try:
                return await self.ask(subject, request, reply)
            except RETRYABLE as error:
                _log.info("runner away", extra={"subject": subject, "reason": error.message})
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                delay = min(_GROWTH * delay, _LAST_RETRY)

    async def next_ticket(self, lanes: Sequence[rpc.Lane]) -> tuple[rpc.Ticket, Msg] | None:
        """Return a ticket of any of the lanes, or None after some seconds without one.

        The server ends every request with a message, so no ticket can be on its way to a reader
        that has given up. Raises Unavailable when a consumer is missing.
        """
        pull = _Pull(self._client, len(lanes))
        inbox = self._client.new_inbox()
        seconds = max(until_next(PULL_SECONDS), _SHORTEST_PULL * PULL_SECONDS)
        request = orjson.dumps({"batch": 1, "expires": int(seconds * 1e9)})
        try:
            subscription = await self._client.subscribe(inbox, cb=pull.hear)
            try:
                for lane in lanes:
                    subject = f"$JS.API.CONSUMER.MSG.NEXT.{rpc.WORK_STREAM}.{lane.consumer}"
                    await self._client.publish(subject, request, reply=inbox)
                async with asyncio.timeout(seconds + _MARGIN_SECONDS):
                    message = await pull.first
            finally:
                await _end(subscription)
        except TimeoutError:
            return None
        except (nats.errors.Error, OSError) as error:
            raise Unavailable(f"no tickets: {type(error).__name__}") from error
        if message is None:
            return None
        try:
            ticket = decode(rpc.Ticket, message.data)
        except Malformed as error:
            what = (Source.TICKET, message.subject, message.data, str(error))
            await record_poison(self._client, *what, seq=sequence_of(message))
            await self.settle(message)
            return None
        return ticket, message

    async def claim(self, worker: str, ticket: rpc.Ticket, message: Msg) -> rpc.ClaimReply:
        """Claim the task of a ticket, and settle the ticket.

        Raises what ``ask`` raises; then the ticket is given back, or its task would wait until the
        ticket is redelivered. The server hands out such a ticket before all others, so it comes
        back after a pause, longer each time: a task that nobody can claim stops no other.
        """
        request = rpc.ClaimRequest(worker, ticket.job_id, ticket.index, ticket.attempt)
        try:
            reply = await self.ask(rpc.CLAIM, request, rpc.ClaimReply)
        except RETRYABLE:
            tries = message.metadata.num_delivered or 1
            await self.give_back(message, min(_CLAIM_AGAIN * tries, _LAST_CLAIM))
            raise
        await self.settle(message)
        return reply

    async def settle(self, message: Msg) -> None:
        """Acknowledge a ticket whose claim was decided. A lost acknowledgement does no harm."""
        try:
            await self._client.publish(message.reply, b"+ACK")
        except (nats.errors.Error, OSError):
            _log.info("acknowledgement lost")

    async def give_back(self, message: Msg, seconds: float = 0.0) -> None:
        """Leave a ticket to another worker, who gets it after ``seconds``.

        If this message is lost, it is redelivered after some seconds.
        """
        pause = orjson.dumps({"delay": int(seconds * 1e9)})
        try:
            await self._client.publish(message.reply, b"-NAK " + pause)
        except (nats.errors.Error, OSError):
            _log.info("ticket not given back")

    async def send_progress(self, held: rpc.HeldLease, progress: Progress) -> None:
        """Publish the progress of a task."""
        report = TaskProgress(
            held.job_id,
            held.index,
            held.lease,
            progress.primaries,
            progress.eta_seconds,
            datetime.now(UTC),
        )
        await telemetry.publish_progress(self._broker, report)


class _Pull:
    """Requests to several lanes at once: takes the first ticket and gives back any other."""

    def __init__(self, client: Client, requests: int) -> None:
        self._client = client
        self._open = requests
        self.first: asyncio.Future[Msg | None] = asyncio.get_running_loop().create_future()

    async def hear(self, message: Msg) -> None:
        """Handle a ticket, or the end of a request."""
        # a foreign ticket may have a status header, but messages of the server have no reply
        # subject
        if message.reply and self.first.done():
            await self._client.publish(message.reply, b"-NAK")
        elif message.reply:
            self.first.set_result(message)
        elif not self.first.done():
            self._ended((message.headers or {}).get("Status", ""))

    def _ended(self, status: str) -> None:
        self._open -= 1
        if status != _NOTHING_CAME:
            self.first.set_exception(Unavailable(f"no tickets: status {status}"))
        elif not self._open:
            self.first.set_result(None)


async def _end(subscription: Subscription) -> None:
    """End the requests once everything on its way has arrived."""
    try:
        await subscription.drain()  # type: ignore[no-untyped-call]
    except (nats.errors.Error, OSError):
        _log.debug("unsubscribed from a closed connection")
