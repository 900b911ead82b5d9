"""The edge broker in memory: bytes in, bytes out, poison and failures answered, traces carried."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import orjson
import pytest
from faststream.nats import TestNatsBroker
from hypothesis import given
from nats.aio.client import Client

from kerma_common import poison
from kerma_common.bus import faststream as edge
from kerma_common.bus.decoding import decode
from kerma_common.bus.faststream import EdgeBroker, with_subject
from kerma_common.bus.rpc import call
from kerma_common.contracts import rpc_runner as rpc
from kerma_common.contracts.registry import adapter
from kerma_common.errors import ContractViolation, DomainRejected, Unavailable
from kerma_common.telemetry.traces import HEADER, span, traceparent
from kit.events.strange_messages import BODIES, messages

ROOT = Path(__file__).parents[3]
EDGE = {
    "libs/common/src/kerma_common/bus/faststream.py",
    "services/jobs/src/kerma_jobs/adapters/live_progress.py",
    "services/runner/src/kerma_runner/api/workers.py",
}
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Messages recorded as poison: source, subject, body."""
    found: list[tuple[Any, ...]] = []

    async def record_poison(_client: Client, *what: Any) -> None:
        found.append(what[:3])

    monkeypatch.setattr(edge, "record_poison", record_poison)
    monkeypatch.setattr("kerma_common.bus.rpc.record_poison", record_poison)
    return found


def serving(answer: Any) -> EdgeBroker:
    """Run a broker with one request and one hint; an exception given as the answer is raised."""
    broker = EdgeBroker(Client())

    @broker.subscriber(rpc.CLAIM, queue="runner")
    async def serve(body: bytes) -> bytes:
        decode(rpc.ClaimRequest, body)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, bytes) else adapter(type(answer)).dump_json(answer)

    return broker


CLAIM = rpc.ClaimRequest("w", "job", 0, 1)
GONE = rpc.ClaimReply(None, "GONE")


async def test_a_request_is_answered() -> None:
    broker = serving(GONE)
    async with TestNatsBroker(broker):
        assert await call(broker, rpc.CLAIM, CLAIM, rpc.ClaimReply) == GONE


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (DomainRejected("NO", "never"), DomainRejected),
        (Unavailable("later"), Unavailable),
        (KeyError("a fault"), ContractViolation),
    ],
)
async def test_a_failure_keeps_its_family(raised: Exception, told: type[Exception]) -> None:
    broker = serving(raised)
    async with TestNatsBroker(broker):
        with pytest.raises(told):
            await call(broker, rpc.CLAIM, CLAIM, rpc.ClaimReply)


async def test_poison_is_answered_recorded_and_followed_by_good_requests(
    recorded: list[tuple[Any, ...]],
) -> None:
    broker = serving(GONE)
    async with TestNatsBroker(broker):
        for body in BODIES:
            answer = await broker.request(body, rpc.CLAIM)
            assert orjson.loads(answer.body)["error"]["code"] == "Malformed"
        assert await call(broker, rpc.CLAIM, CLAIM, rpc.ClaimReply) == GONE
    assert recorded == [(poison.Source.REQUEST, rpc.CLAIM, body) for body in BODIES]


@given(messages())
async def test_an_answer_that_is_none_is_the_runners_fault(message: tuple[bytes, bytes]) -> None:
    broker = serving(message[1])
    with pytest.MonkeyPatch.context() as patch:

        async def record_poison(*_: Any) -> None:
            pass

        patch.setattr("kerma_common.bus.rpc.record_poison", record_poison)
        async with TestNatsBroker(broker):
            try:
                await call(broker, rpc.CLAIM, CLAIM, rpc.Registered)
            except (ContractViolation, Unavailable, DomainRejected):
                return
    decode(rpc.Registered, message[1])


async def test_hints_are_taken_in_and_strange_ones_recorded(
    recorded: list[tuple[Any, ...]],
) -> None:
    broker = EdgeBroker(Client())
    taken: list[rpc.StopSignal] = []
    broker.on_hint("sig.worker.w", rpc.StopSignal, taken.append)
    signal = rpc.StopSignal((rpc.HeldLease("job", 0, 1),))
    async with TestNatsBroker(broker):
        await broker.publish(b"[]", "sig.worker.w", headers={"content-type": "application/json"})
        await broker.publish(adapter(rpc.StopSignal).dump_json(signal), "sig.worker.w")
    assert taken == [signal]
    assert recorded == [(poison.Source.SIGNAL, "sig.worker.w", b"[]")]


async def test_a_handler_may_ask_for_the_subject() -> None:
    broker, heard = EdgeBroker(Client()), []

    @broker.subscriber("tele.task.>", decoder=with_subject, no_reply=True)
    async def hear(body: bytes, subject: str) -> None:
        heard.append((subject, body))

    async with TestNatsBroker(broker):
        await broker.publish(b"[1,2]", "tele.task.a.0")
    assert heard == [("tele.task.a.0", b"[1,2]")]


async def test_the_trace_goes_on_in_the_handler() -> None:
    broker, seen = EdgeBroker(Client()), []

    @broker.subscriber("rpc.test.trace")
    async def serve(_: bytes) -> bytes:
        seen.append(traceparent())
        return b""

    async with TestNatsBroker(broker):
        await broker.request(b"", "rpc.test.trace")
        with span("sender", TRACE):
            await broker.request(b"", "rpc.test.trace")
        await broker.request(b"", "rpc.test.trace", headers={HEADER: "\x00nonsense"})
    assert [found and found[3:35] for found in seen] == [None, TRACE[3:35], None]


def test_subscribers_stand_at_the_edge_alone() -> None:
    sources = [*ROOT.glob("services/*/src/**/*.py"), *ROOT.glob("libs/common/src/**/*.py")]
    found = {str(path.relative_to(ROOT)) for path in sources if _subscribes(path)}
    assert found == EDGE


def _subscribes(path: Path) -> bool:
    return any(
        isinstance(node, ast.Attribute) and node.attr == "subscriber"
        for node in ast.walk(ast.parse(path.read_text()))
    )
