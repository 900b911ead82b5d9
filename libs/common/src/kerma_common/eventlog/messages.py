"""The only place that turns a log message into a commit, or finds it foreign."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kerma_common.contracts.decoding import NewerCommit, NotACommit, decode
from kerma_common.contracts.envelope import Commit, Meta, Recorded
from kerma_common.contracts.subjects import STREAMS
from kerma_common.errors import ContractViolation
from kerma_common.poison import Source, record_poison

if TYPE_CHECKING:
    from nats.aio.client import Client

TYPES = "Kerma-Types"
MESSAGE_ID = "Nats-Msg-Id"
_TRACE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_SHARD = re.compile(r"[0-3][0-9a-f]")
_NOBODY = Meta(actor="", command="", correlation="", service="")


def recorded(
    stream: str, seq: int, subject: str, body: bytes, headers: dict[str, str] | None
) -> Recorded:
    """Return a message with its place; ``foreign`` says why it is not a commit, if so.

    Raises ContractViolation for a commit of a newer release: readers that skip it would lose its
    events.
    """
    headers = headers or {}
    try:
        commit = decode(body)
        _require_place(stream, subject, commit.aggregate, commit.aggregate_id)
    except NewerCommit as error:
        if _is_ours(stream, subject, headers, error):
            raise ContractViolation(f"{stream}:{seq} on {subject}: {error}") from error
        return _foreign(stream, seq, subject, body, str(error))
    except NotACommit as error:
        return _foreign(stream, seq, subject, body, str(error))
    trace = headers.get("traceparent")
    traced = isinstance(trace, str) and _TRACE.fullmatch(trace)
    return Recorded(stream, seq, subject, commit, trace if traced else None)


async def note_foreign(client: Client, records: Sequence[Recorded]) -> None:
    """Record foreign messages as poison; readers skip them."""
    for record in records:
        if record.foreign is not None:
            # The log loses nothing: the message stays in its stream.
            subject = f"{record.stream}:{record.subject}"
            await record_poison(client, Source.LOG, subject, None, record.foreign, seq=record.seq)


def _foreign(stream: str, seq: int, subject: str, body: bytes, reason: str) -> Recorded:
    # The id tells messages apart when a checkpoint is compared with the log.
    name = f"foreign-{hashlib.sha256(body).hexdigest()[:32]}"
    return Recorded(stream, seq, subject, Commit(name, "", "", 0, _NOBODY, ()), None, reason)


def _is_ours(stream: str, subject: str, headers: Mapping[str, str], newer: NewerCommit) -> bool:
    """Return whether a release of this system wrote the commit: its place and headers match."""
    try:
        _require_place(stream, subject, newer.aggregate, newer.aggregate_id)
    except NotACommit:
        return False
    return headers.get(MESSAGE_ID) == newer.commit and TYPES in headers


def _require_place(stream: str, subject: str, aggregate: str, aggregate_id: str) -> None:
    """Raise NotACommit if the subject is not the address of the commit's aggregate."""
    tokens = subject.split(".", 4)
    if len(tokens) != 5 or tokens[0] != "ev" or STREAMS.get(tokens[1]) != stream:
        raise NotACommit("the subject names no aggregate of this stream")
    if tokens[2] != aggregate or tokens[4] != aggregate_id:
        raise NotACommit("the commit is of another aggregate than its subject")
    if _SHARD.fullmatch(tokens[3]) is None:
        raise NotACommit("the subject has no shard")
