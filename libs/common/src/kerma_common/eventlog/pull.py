"""Reading a stream in order: an ephemeral consumer without acks, and a long-lived pull request.

The reader keeps the position; the server keeps nothing that matters. The consumer numbers its
deliveries. On a gap in these numbers, a missed heartbeat or an unexpected status, the reader drops
the consumer and creates another one after the last commit that it handed on.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from datetime import UTC
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import nats.errors
import orjson

from kerma_common.clock import until_next
from kerma_common.contracts.envelope import Recorded
from kerma_common.errors import ContractViolation, Unavailable
from kerma_common.eventlog import api
from kerma_common.eventlog.messages import note_foreign, recorded
from kerma_common.nats import when_reconnected
from kerma_common.precedence import STEP, give_way

if TYPE_CHECKING:
    from datetime import datetime

    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

log = logging.getLogger(__name__)

HEARTBEAT = 3.0
SILENCE = 7.0
"""Seconds without message or heartbeat after which the consumer counts as lost. A lost connection
is noticed at once, so these matter only where the server loses a consumer and says nothing."""
EXPIRES = 30.0
"""Requests end at multiples of this time, all at once, so that later ones have their heartbeats at
the same moments."""
INACTIVE = 60.0
RETRY = (0.05, 1.0)
"""Shortest and longest pause before a consumer is created again, in seconds."""
BACKWARDS_TRIES = 10
"""A new leader may briefly report an old end; after this many tries the tail is lost."""
_NANO = 1_000_000_000


class LogWentBackwards(ContractViolation):
    """The stream is not the one that was read before: stop rather than project another history."""


class _Doubt(Exception):  # noqa: N818 - a reason to start over, not a fault
    """The consumer may have lost a message."""


class Patience:
    """Pauses between tries to read a stream, and the decision when to stop trying."""

    FAULTS = (_Doubt, LogWentBackwards, Unavailable, api.ApiError, nats.errors.Error)
    """What another try may cure."""

    def __init__(self, nc: Client, stream: str) -> None:
        self._nc, self._stream = nc, stream
        self.reset()

    def reset(self) -> None:
        """Note that reading works."""
        self._pause, self._short = RETRY[0], 0

    async def after(self, fault: Exception, position: int) -> None:
        """Wait before the next try to read after ``position``.

        Raises the fault if the stream keeps ending before it, Unavailable if the connection was
        closed for good.
        """
        if isinstance(fault, LogWentBackwards):
            self._short += 1
            if self._short >= BACKWARDS_TRIES:
                raise fault
        elif self._nc.is_closed:
            raise Unavailable("the connection to the event log was closed") from fault
        else:
            details = {"stream": self._stream, "after": position, "reason": str(fault)}
            log.info("following again", extra=details)
        await asyncio.sleep(self._pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
        self._pause = min(2 * self._pause, RETRY[1])


async def batches(
    nc: Client, stream: str, after: int, max_batch: int, subject: str | None = None
) -> AsyncGenerator[Sequence[Recorded], None]:
    """Yield messages of ``stream`` after a sequence; if given, of one subject only.

    Raises ContractViolation for a commit of a newer release, LogWentBackwards if the stream keeps
    ending before the last message handed on.
    """
    position, patience = after, Patience(nc, stream)
    while True:
        consumer = Consumer(nc, stream, position, max_batch, subject)
        try:
            await consumer.open()
            while True:
                batch = await consumer.next_batch()
                position = batch[-1].seq
                patience.reset()
                yield batch
        except Patience.FAULTS as fault:
            failed = fault
        finally:
            await consumer.close()
        await patience.after(failed, position)


async def last_seq(nc: Client, stream: str, known: int) -> int:
    """Return the sequence of the last message. Raises LogWentBackwards if ``known`` is later."""
    state = (await api.call(nc, f"STREAM.INFO.{stream}"))["state"]
    last: int = state["last_seq"]
    if last < known:
        raise LogWentBackwards(f"{stream} ends at {last}, but {known} was already read")
    return last


async def before(nc: Client, stream: str, moment: datetime) -> int:
    """Return the sequence after which everything comes that was stored since ``moment``.

    Only a consumer looks messages up by time, and it says where it starts.
    """
    name = f"before-{uuid4().hex}"
    config = {
        "name": name,
        "deliver_policy": "by_start_time",
        "opt_start_time": moment.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "ack_policy": "none",
        "mem_storage": True,
        "num_replicas": 1,
        "inactive_threshold": int(INACTIVE * _NANO),
    }
    created = await api.call(
        nc, f"CONSUMER.CREATE.{stream}.{name}", {"stream_name": stream, "config": config}
    )
    with suppress(nats.errors.Error):
        await nc.publish(f"$JS.API.CONSUMER.DELETE.{stream}.{name}")
    found: int = created["delivered"]["stream_seq"]
    return found


class Consumer:
    """One consumer of the server and the pull request that feeds it."""

    def __init__(
        self, nc: Client, stream: str, after: int, max_batch: int, subject: str | None = None
    ) -> None:
        self._nc, self._stream, self._after = nc, stream, after
        self._max_batch, self._subject = max_batch, subject
        self._name = f"follow-{uuid4().hex}"
        self._inbox = nc.new_inbox()
        self._waiting: deque[Msg] = deque()
        self._arrived = asyncio.Event()
        self._subscription: Subscription | None = None
        self._delivered = 0
        self._credit = 0
        self._lost = False
        self._forget_loss: Callable[[], None] = lambda: None

    async def open(self, known: int = 0) -> None:
        """Create the consumer. Raises LogWentBackwards if the stream ends before a known message.

        The message at which the consumer starts is known; ``known`` may name a later one.
        """
        self._forget_loss = when_reconnected(self._nc, self._lose)
        await last_seq(self._nc, self._stream, max(known, self._after))
        config: dict[str, Any] = {
            "name": self._name,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._after + 1,
            "ack_policy": "none",
            "replay_policy": "instant",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": int(INACTIVE * _NANO),
        }
        if self._subject is not None:
            config["filter_subject"] = self._subject
        self._subscription = await self._nc.subscribe(self._inbox, cb=self._receive)
        filtered = f".{self._subject}" if self._subject is not None else ""
        await api.call(
            self._nc,
            f"CONSUMER.CREATE.{self._stream}.{self._name}{filtered}",
            {"stream_name": self._stream, "config": config},
        )
        await self._pull()

    async def close(self) -> None:
        """Delete the consumer if the server can be reached; otherwise it expires."""
        self._forget_loss()
        with suppress(nats.errors.Error):
            if self._subscription is not None:
                await self._subscription.unsubscribe()
            if self._nc.is_connected:
                await self._nc.publish(f"$JS.API.CONSUMER.DELETE.{self._stream}.{self._name}")

    async def next_batch(self) -> list[Recorded]:
        """Return at least one commit and all others that have arrived, in order."""
        found: list[Recorded] = []
        while not found:
            if self._lost:
                raise _Doubt("the connection was lost")
            if not self._waiting:
                await self._wait()
            while self._waiting and len(found) < self._max_batch:
                message = self._waiting.popleft()
                if message.reply:
                    found.append(self._accept(message))
                    if len(found) % STEP == 0:
                        await give_way()
                else:
                    self._heed(message)
            if self._credit == 0:
                # Ask before the batch is processed, so that the server works meanwhile.
                await self._pull()
        await note_foreign(self._nc, found)
        return found

    def _lose(self) -> None:
        # The pull request is lost, and a server that was started again has no such consumer.
        self._lost = True
        self._arrived.set()

    async def _receive(self, message: Msg) -> None:
        self._waiting.append(message)
        self._arrived.set()

    async def _wait(self) -> None:
        self._arrived.clear()
        try:
            async with asyncio.timeout(SILENCE):
                await self._arrived.wait()
        except TimeoutError:
            raise _Doubt("no heartbeat") from None

    async def _pull(self) -> None:
        if not self._nc.is_connected:
            raise _Doubt("disconnected")
        self._credit = self._max_batch
        request = {
            "batch": self._max_batch,
            "expires": int(_expires() * _NANO),
            "idle_heartbeat": int(HEARTBEAT * _NANO),
        }
        await self._nc.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._name}",
            orjson.dumps(request),
            reply=self._inbox,
        )

    def _accept(self, message: Msg) -> Recorded:
        stream_seq, consumer_seq = _sequences(message.reply)
        if consumer_seq != self._delivered + 1:
            raise _Doubt(f"delivery {consumer_seq} came after {self._delivered}")
        self._delivered = consumer_seq
        self._credit -= 1
        return recorded(self._stream, stream_seq, message.subject, message.data, message.headers)

    def _heed(self, message: Msg) -> None:
        headers = message.headers or {}
        status = headers.get("Status")
        if status == "100":
            if int(headers.get("Nats-Last-Consumer", 0)) != self._delivered:
                raise _Doubt("the last deliveries were lost")
        elif status == "408":
            self._credit = 0
        else:
            raise _Doubt(f"status {status} {headers.get('Description', '')}")


def _expires() -> float:
    """Return the seconds after which a request made now ends; the server wants two heartbeats."""
    seconds = until_next(EXPIRES)
    return seconds if seconds > 2 * HEARTBEAT else seconds + EXPIRES


def _sequences(reply: str) -> tuple[int, int]:
    """Return stream and consumer sequence from the ack subject of a delivery.

    ``$JS.ACK.[domain.account.]stream.consumer.deliveries.stream_seq.consumer_seq.…``
    """
    tokens = reply.split(".")
    at = 5 if len(tokens) == 9 else 7
    return int(tokens[at]), int(tokens[at + 1])
