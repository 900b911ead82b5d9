"""The event log on NATS JetStream.

Whether the server checks the expected sequence or the duplicate id first depends on its version and
on the number of replicas. So a refusal alone proves nothing: the message that follows ``expected``
on the subject, read from the leader, shows whether it was ours.
"""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from time import perf_counter
from typing import TYPE_CHECKING, Any

import nats.errors
import orjson
from prometheus_client import Counter, Histogram

from kerma_common.contracts import decoding, envelope
from kerma_common.contracts.envelope import Commit, Recorded
from kerma_common.errors import (
    ConcurrencyConflict,
    ContractViolation,
    OutcomeUnknown,
    Unavailable,
    UnreadableHistory,
)
from kerma_common.eventlog import api, pull
from kerma_common.eventlog.messages import MESSAGE_ID, TYPES, note_foreign, recorded
from kerma_common.eventlog.port import Appended, StreamState
from kerma_common.eventlog.refusals import Refusals
from kerma_common.eventlog.streams import EPOCH
from kerma_common.eventlog.tail import Tails
from kerma_common.telemetry.traces import traceparent as current_trace

if TYPE_CHECKING:
    from datetime import datetime

    from nats.aio.client import Client
    from nats.aio.msg import Msg

    from kerma_common.contracts.subjects import Subject

RETRIES = 3
ACK_TIMEOUT = 2.0
READ_TIMEOUT = 5.0
BATCH = 256

APPEND_SECONDS = Histogram(
    "kerma_append_seconds",
    "Time from append to its verdict",
    ["stream", "result"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 2.5, 10),
)
OUTCOME_UNKNOWN = Counter("kerma_outcome_unknown_total", "Appends without a verdict", ["stream"])


class _Untrusted(Exception):  # noqa: N818 - a reason to read in another way
    """A batched get holds a message that is not a commit."""


class JetStreamLog:
    """``EventLog`` on a connection that the caller owns.

    ``traceparent`` returns the trace context that is stored with a commit. Logs that get the same
    ``tails`` read the ends of their streams together.
    """

    def __init__(
        self,
        nc: Client,
        *,
        traceparent: Callable[[], str | None] = current_trace,
        ack_timeout: float = ACK_TIMEOUT,
        tails: Tails | None = None,
    ) -> None:
        self._nc = nc
        self._traceparent = traceparent
        self._ack_timeout = ack_timeout
        self._tails = tails or Tails(nc)
        self.refusals = Refusals(lambda: nc.stats["reconnects"])

    async def append(self, subject: Subject, expected: int, commit: Commit) -> Appended:
        """Store ``commit`` after ``expected``; see the port."""
        body = envelope.encode(commit)
        decoding.decode(body)  # never write what readers would skip
        headers = self._headers(expected, commit)
        started, result = perf_counter(), "stored"
        try:
            appended = await self._append(subject, expected, commit.id, body, headers)
        except Exception as error:
            result = type(error).__name__
            if isinstance(error, OutcomeUnknown | Unavailable):
                self.refusals.refused(subject.stream, error)
            if isinstance(error, OutcomeUnknown):
                OUTCOME_UNKNOWN.labels(subject.stream).inc()
            raise
        else:
            self.refusals.stored(subject.stream)
            return appended
        finally:
            APPEND_SECONDS.labels(subject.stream, result).observe(perf_counter() - started)

    async def load(self, subject: Subject) -> Sequence[Recorded]:
        """Return all commits of an aggregate, verified to end where the leader says."""
        return await self.history(subject.stream, str(subject))

    async def last_seq(self, subject: Subject) -> int:
        """Return the sequence of the aggregate's last commit, from the leader; 0 if none."""
        last = await self._leader_read(subject.stream, {"last_by_subj": str(subject)})
        return last.seq if last else 0

    async def state(self, stream: str) -> StreamState:
        """Return the extent and epoch of a stream."""
        answer = await self._tails.info(stream)
        state, metadata = answer["state"], answer["config"].get("metadata") or {}
        return StreamState(state["first_seq"], state["last_seq"], metadata.get(EPOCH, ""))

    async def before(self, stream: str, moment: datetime) -> int:
        """Return the sequence after which everything comes that was stored since ``moment``."""
        return await pull.before(self._nc, stream, moment)

    @asynccontextmanager
    async def follow(
        self, stream: str, after: int, *, max_batch: int = 256
    ) -> AsyncIterator[AsyncGenerator[Sequence[Recorded], None]]:
        """Yield commits after a sequence, in order and without gaps; see the port."""
        following = self._tails.follow(stream, after, max_batch)
        try:
            yield following
        finally:
            await following.aclose()

    async def history(self, stream: str, pattern: str) -> Sequence[Recorded]:
        """Return all commits on the subjects of ``pattern`` (wildcards allowed), in stream order."""
        last = await self._leader_read(stream, {"last_by_subj": pattern})
        if last is None:
            return ()
        exact = last.subject == pattern
        if exact and last.commit.first_version == 1:
            return (last,)
        found = await self._direct_get(stream, pattern, last.seq)
        if not _complete(found, last.seq, exact):
            found = await self._ordered(stream, pattern, last.seq)
        if not _complete(found, last.seq, exact):
            raise UnreadableHistory(f"{stream} has holes in the history of {pattern}")
        await note_foreign(self._nc, found)
        return found

    def _headers(self, expected: int, commit: Commit) -> dict[str, str]:
        headers = {
            MESSAGE_ID: commit.id,
            "Nats-Expected-Last-Subject-Sequence": str(expected),
            TYPES: commit.types,
        }
        trace = self._traceparent()
        return {**headers, "traceparent": trace} if trace else headers

    async def _append(
        self, subject: Subject, expected: int, commit_id: str, body: bytes, headers: dict[str, str]
    ) -> Appended:
        maybe_stored = False
        for tried in range(RETRIES + 1):
            if tried:
                await asyncio.sleep(random.uniform(0.02, 0.1) * 2**tried)  # noqa: S311 - jitter
            ack = await self._publish(subject, body, headers, maybe_stored=maybe_stored)
            if ack is None:
                maybe_stored = True
                continue
            error = ack.get("error")
            if error is None:
                return Appended(subject.stream, ack["seq"], ack.get("duplicate", False))
            if error.get("err_code") in api.WRONG_LAST_SEQUENCE:
                settled = await self._settled(subject, expected, commit_id)
                if settled is not None:
                    return settled
            elif error.get("err_code") == api.DUPLICATE_IN_PROCESS:
                maybe_stored = True
            else:
                _refused(error, maybe_stored=maybe_stored)
        if maybe_stored:
            raise OutcomeUnknown(f"no verdict on commit {commit_id} of {subject}")
        raise ConcurrencyConflict(f"{subject} does not stand at {expected}")

    async def _publish(
        self, subject: Subject, body: bytes, headers: dict[str, str], *, maybe_stored: bool
    ) -> dict[str, Any] | None:
        """Return the server's reply, or None if none came.

        Raises Unavailable if certainly nothing is stored.
        """
        # A disconnected client would buffer the message and send it minutes later.
        if not self._nc.is_connected:
            if maybe_stored:
                return None
            raise Unavailable("not connected to the event log")
        try:
            reply = await self._nc.request(
                str(subject), body, timeout=self._ack_timeout, headers=headers
            )
        except nats.errors.NoRespondersError as error:
            if maybe_stored:
                return None
            raise Unavailable(f"stream {subject.stream} does not answer") from error
        except nats.errors.Error:
            return None
        ack: dict[str, Any] = orjson.loads(reply.data)
        return ack

    async def _settled(self, subject: Subject, expected: int, commit_id: str) -> Appended | None:
        """Return success or conflict by whose commit follows ``expected``; None if none does.

        In that case the server refused because of a write in flight, or because its leader is new
        and still behind acknowledged writes; the next try decides.
        """
        try:
            after = {"seq": expected + 1, "next_by_subj": str(subject)}
            successor = await self._leader_read(subject.stream, after)
        except Unavailable as error:
            raise OutcomeUnknown(f"no verdict on commit {commit_id} of {subject}") from error
        if successor is None:
            return None
        if successor.commit.id == commit_id:
            return Appended(subject.stream, successor.seq, duplicate=True)
        raise ConcurrencyConflict(f"{subject} has moved on from {expected}")

    async def _leader_read(self, stream: str, request: dict[str, Any]) -> Recorded | None:
        try:
            answer = await api.call(
                self._nc, f"STREAM.MSG.GET.{stream}", request, timeout=READ_TIMEOUT
            )
        except api.ApiError as error:
            if error.code == api.NO_MESSAGE_FOUND:
                return None
            raise ContractViolation(f"{stream} cannot be read: {error}") from error
        message = answer["message"]
        return recorded(
            stream,
            message["seq"],
            message["subject"],
            base64.b64decode(message.get("data", "")),
            _stored_headers(message.get("hdrs", "")),
        )

    async def _direct_get(self, stream: str, pattern: str, last: int) -> list[Recorded]:
        """Return commits up to ``last`` from whichever replica answers; a stale one returns fewer."""
        found: list[Recorded] = []
        arrived: asyncio.Queue[Msg] = asyncio.Queue()
        inbox = self._nc.new_inbox()
        subscription = await self._nc.subscribe(inbox, cb=arrived.put)
        try:
            async with asyncio.timeout(READ_TIMEOUT):
                position = 0
                while position < last:
                    request = {"seq": position + 1, "next_by_subj": pattern, "batch": BATCH}
                    await self._nc.publish(
                        f"$JS.API.DIRECT.GET.{stream}", orjson.dumps(request), reply=inbox
                    )
                    page = await _page(arrived, stream)
                    if not page:
                        break
                    found += page
                    position = page[-1].seq
        except (TimeoutError, nats.errors.Error, _Untrusted):
            return []
        finally:
            with suppress(nats.errors.Error):
                await subscription.unsubscribe()
        return [r for r in found if r.seq <= last]

    async def _ordered(self, stream: str, pattern: str, last: int) -> list[Recorded]:
        found: list[Recorded] = []
        reading = pull.batches(self._nc, stream, 0, BATCH, pattern)
        try:
            async with asyncio.timeout(4 * READ_TIMEOUT):
                async for batch in reading:
                    found += batch
                    if found[-1].seq >= last:
                        break
        except TimeoutError as error:
            raise Unavailable(f"{stream} cannot be read in time") from error
        finally:
            await reading.aclose()
        return [r for r in found if r.seq <= last]


async def _page(arrived: asyncio.Queue[Msg], stream: str) -> list[Recorded]:
    """Return the messages of one batched get, up to the status message that ends it.

    Sequences arrive in headers here, and a foreign message may hold such headers too, to hide a
    commit or to end the page. Raises _Untrusted if there is one.
    """
    page: list[Recorded] = []
    while True:
        message = await arrived.get()
        headers = message.headers or {}
        if "Nats-Subject" not in headers:  # the server adds it to every stored message
            return page
        try:
            seq, subject = int(headers["Nats-Sequence"]), headers["Nats-Subject"]
        except (KeyError, ValueError):
            raise _Untrusted from None
        found = recorded(stream, seq, subject, message.data, headers)
        if found.foreign is not None or "Status" in headers:
            raise _Untrusted
        page.append(found)


def _refused(error: dict[str, Any], *, maybe_stored: bool) -> None:
    text = f"{error.get('description', 'refused')} ({error.get('err_code')})"
    if maybe_stored:
        raise OutcomeUnknown(f"an earlier try had no answer, this one: {text}")
    if error.get("err_code") == api.STREAM_FULL or error.get("code") == 503:
        raise Unavailable(f"the event log takes no commits: {text}")
    raise ContractViolation(f"the event log refuses the commit: {text}")


def _complete(found: Sequence[Recorded], last: int, exact: bool) -> bool:
    """Return whether a history ends at ``last`` and, for one aggregate, has no missing versions."""
    if not found or found[-1].seq != last:
        return False
    commits = [r.commit for r in found if r.foreign is None]
    return not exact or all(
        b.first_version == a.first_version + len(a.events) for a, b in pairwise(commits)
    )


def _stored_headers(encoded: str) -> dict[str, str]:
    lines = base64.b64decode(encoded).decode(errors="replace").split("\r\n")[1:]
    return dict(line.split(": ", 1) for line in lines if ": " in line)
