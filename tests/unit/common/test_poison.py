"""Decoding of foreign messages: each is accepted or Malformed, and nothing else happens."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from kerma_common import poison
from kerma_common.bus.decoding import MAX_BYTES, decode
from kerma_common.contracts import rpc_runner as rpc
from kerma_common.contracts.progress import TaskProgress
from kerma_common.contracts.registry import adapter
from kerma_common.poison import Malformed, Source, record_poison
from kit.events.strange_messages import BODIES, messages

KINDS: tuple[type, ...] = (
    TaskProgress,
    rpc.Ticket,
    rpc.StopSignal,
    rpc.Registration,
    rpc.Retirement,
    rpc.ClaimRequest,
    rpc.StartRequest,
    rpc.Heartbeat,
    rpc.Report,
    rpc.Registered,
    rpc.ClaimReply,
    rpc.HeartbeatReply,
    rpc.Verdict,
)


class Bus:
    """Client that remembers what was published."""

    def __init__(self) -> None:
        self.published: list[tuple[str, bytes]] = []

    async def publish(self, subject: str, body: bytes) -> None:
        self.published.append((subject, body))


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poison, "_noted", poison._Noted())


@given(messages())
def test_any_bytes_are_decoded_or_malformed(message: tuple[bytes, bytes]) -> None:
    for kind in KINDS:
        try:
            found: object = decode(kind, message[1])
        except Malformed:
            continue
        assert decode(kind, adapter(kind).dump_json(found)) == found


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_known_poison_is_no_ticket(body: bytes) -> None:
    with pytest.raises(Malformed):
        decode(rpc.Ticket, body)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (rpc.Ticket, b'{"job_id": "a.>", "index": 0, "attempt": 1, "issue": 1}'),
        (rpc.Ticket, b'{"job_id": "a", "index": 4294967296, "attempt": 1, "issue": 1}'),
        (rpc.Registered, b'{"heartbeat_seconds": NaN, "lease_seconds": 1}'),
        (rpc.Registered, b'{"heartbeat_seconds": 0, "lease_seconds": 1}'),
        (rpc.Registration, b'{"worker":"w","resource_class":"p","slots":1,"engines":{"*":"1"}}'),
        (rpc.Heartbeat, b'{"worker": "a\\u0000", "leases": []}'),
    ],
)
def test_values_out_of_bounds_are_malformed(kind: type, body: bytes) -> None:
    with pytest.raises(Malformed):
        decode(kind, body)


def test_a_blob_is_named_by_its_hash_alone() -> None:
    body = b'{"output_ref":{"sha256":"../x","size":1},"log_ref":null,"primaries":1,"cpu_seconds":0}'
    with pytest.raises(Malformed, match="output_ref"):
        decode(rpc.Success, body)


def test_the_words_of_a_failure_never_refuse_its_report() -> None:
    body = b'{"code": "X", "message": "a\\u0000%s", "log_ref": null}' % (b"b" * 100_000)
    found = decode(rpc.Failure, body)
    assert len(found.message) == 16 * 1024
    assert "\x00" not in found.message


def test_what_is_too_long_is_not_looked_at() -> None:
    with pytest.raises(Malformed, match="allowed"):
        decode(rpc.StopSignal, b'{"leases": []}' + b" " * MAX_BYTES)


async def test_a_source_is_logged_once_and_every_message_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bus: Any = Bus()
    before = _counted()
    for body in (b"{", b"[", b"["):
        await record_poison(bus, Source.TICKET, "work.task.pool.x", body, "no\x1b[2J JSON", seq=7)
    assert _counted() == before + 3
    [line] = [vars(record) for record in caplog.records if record.message == "poison passed"]
    assert (line["subject"], line["seq"], line["reason"]) == (
        "work.task.pool.x",
        7,
        "no\\x1b[2J JSON",
    )
    assert len({subject for subject, _ in bus.published}) == 2


async def test_a_flood_is_counted_and_neither_logged_nor_copied(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bus: Any = Bus()
    before = _counted()
    for n in range(10 * poison.PER_MINUTE):
        await record_poison(bus, Source.TICKET, f"work.{n}", b"{", "no JSON")
    assert _counted() == before + 10 * poison.PER_MINUTE
    assert len(bus.published) <= 2 * poison.PER_MINUTE
    assert len(caplog.records) <= 2 * poison.PER_MINUTE


def _counted() -> float:
    return float(poison.POISON.labels(Source.TICKET)._value.get())
