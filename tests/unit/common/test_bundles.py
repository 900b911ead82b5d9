"""Requests that arise together travel in one message; each is answered as if it had come alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import nats.errors
import orjson
import pytest
from nats.aio.client import Client

from kerma_common import poison
from kerma_common.bus import bundles, unbundling
from kerma_common.bus.bundles import Bundle, Bundler
from kerma_common.bus.decoding import decode
from kerma_common.bus.faststream import EdgeBroker
from kerma_common.bus.unbundling import Unbundler
from kerma_common.contracts import rpc_runner as rpc
from kerma_common.contracts.registry import adapter
from kerma_common.errors import ContractViolation, DomainRejected, Unavailable
from kerma_common.telemetry.traces import HEADER, span, traceparent
from kit.events.strange_messages import BODIES

Handler = Callable[[bytes], Awaitable[bytes]]
TRACES = [f"00-{n:032x}-00f067aa0ba902b7-01" for n in range(1, 9)]


class Wire:
    """Stands in for the broker: hands each message to the runner's side and notes it."""

    def __init__(self, serve: Handler | None = None, *, bundles_served: bool = True) -> None:
        self.client = Client()
        self.sent: list[tuple[str, bytes, dict[str, str] | None]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.bundles_served = bundles_served
        handlers = dict.fromkeys(rpc.BUNDLED, serve or claimed)
        self.handlers = handlers
        self.unbundler = Unbundler(self.client, handlers, asyncio.Semaphore(8))

    async def request(
        self, body: bytes, subject: str, *, headers: dict[str, str] | None, timeout: float
    ) -> Any:
        assert timeout > 0
        self.sent.append((subject, body, headers))
        await self.gate.wait()
        if subject != rpc.BUNDLE:
            return SimpleNamespace(body=await self.handlers[subject](body))
        if not self.bundles_served:
            raise nats.errors.NoRespondersError
        return SimpleNamespace(body=await self.unbundler.answer(body))

    @property
    def sizes(self) -> list[int]:
        """Requests per message."""
        return [
            len(decode(Bundle, body).requests) if subject == rpc.BUNDLE else 1
            for subject, body, _ in self.sent
        ]


async def claimed(body: bytes) -> bytes:
    """Answer a claim with its index as the reason, in the trace that it came with."""
    index = decode(rpc.ClaimRequest, body).index
    if index == 66:
        raise DomainRejected("NO", "never")
    return adapter(rpc.ClaimReply).dump_json(rpc.ClaimReply(None, f"{index} {traceparent()}"))


def claims(wire: Wire, *indexes: int) -> list[asyncio.Task[str]]:
    """Claim each task in a trace of its own, all through one bundler."""
    return claims_by(Bundler(cast("EdgeBroker", wire), rpc.BUNDLE), *indexes)


def claims_by(bundler: Bundler, *indexes: int) -> list[asyncio.Task[str]]:
    async def claim(index: int) -> str:
        with span("claim", TRACES[index % len(TRACES)]):
            asked = rpc.ClaimRequest("w", "job", index, 1)
            return (await bundler.call(rpc.CLAIM, asked, rpc.ClaimReply)).verdict

    return [asyncio.create_task(claim(index)) for index in indexes]


@pytest.fixture
def aside(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Messages set aside: source, subject, body."""
    found: list[tuple[Any, ...]] = []

    async def record_poison(_client: Client, *what: Any) -> None:
        found.append(what[:3])

    monkeypatch.setattr(unbundling, "record_poison", record_poison)
    monkeypatch.setattr("kerma_common.bus.rpc.record_poison", record_poison)
    return found


async def test_a_request_that_is_alone_travels_alone_with_its_trace() -> None:
    wire = Wire()
    (claim,) = claims(wire, 3)
    assert (await claim).split()[0] == "3"
    ((subject, body, headers),) = wire.sent
    assert (subject, decode(rpc.ClaimRequest, body).index) == (rpc.CLAIM, 3)
    assert headers == {HEADER: TRACES[3]}


async def test_requests_that_arise_together_travel_together_and_keep_their_traces() -> None:
    wire = Wire()
    told = await asyncio.gather(*claims(wire, 0, 1, 2))
    assert told == [f"{index} {TRACES[index]}" for index in range(3)]
    assert wire.sizes == [3]
    assert wire.sent[0][2] is None


async def test_requests_wait_while_two_messages_are_on_their_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bundles, "PATIENCE_SECONDS", 3600.0)
    wire = Wire()
    wire.gate.clear()
    bundler = Bundler(cast("EdgeBroker", wire), rpc.BUNDLE)
    begun = []
    for index in range(5):
        begun += claims_by(bundler, index)
        while index < bundles.AT_ONCE and len(wire.sent) <= index:
            await asyncio.sleep(0)
    wire.gate.set()
    assert [told.split()[0] for told in await asyncio.gather(*begun)] == list("01234")
    assert wire.sizes == [1, 1, 3]


async def test_slow_messages_hold_up_others_for_a_moment_only() -> None:
    wire = Wire()
    wire.gate.clear()
    bundler = Bundler(cast("EdgeBroker", wire), rpc.BUNDLE)
    begun = []
    for index in range(2 * bundles.AT_ONCE):
        begun += claims_by(bundler, index)
        while len(wire.sent) <= index:
            await asyncio.sleep(0.001)
    wire.gate.set()
    await asyncio.gather(*begun)
    assert wire.sizes == [1] * 2 * bundles.AT_ONCE


async def test_a_long_queue_travels_in_bundles_of_bounded_size() -> None:
    wire = Wire()
    told = await asyncio.gather(*claims(wire, *range(70, 70 + bundles.MOST + 10)))
    assert [int(reason.split()[0]) for reason in told] == [*range(70, 80 + bundles.MOST)]
    assert sorted(wire.sizes) == [10, bundles.MOST]


async def test_a_large_request_travels_alone() -> None:
    wire = Wire(lambda _: asyncio.sleep(0, adapter(rpc.Verdict).dump_json(rpc.Verdict())))
    bundler = Bundler(cast("EdgeBroker", wire), rpc.BUNDLE)
    held = rpc.HeldLease("job", 0, 1)
    message = "x" * bundles.MOST_CHARACTERS
    report = rpc.Report("w", held, failure=rpc.Failure("CODE", message, None))
    begun = [bundler.call(rpc.REPORT, report, rpc.Verdict) for _ in range(3)]
    assert await asyncio.gather(*begun) == [rpc.Verdict()] * 3
    assert wire.sizes == [1, 1, 1]


async def test_a_request_that_was_given_up_is_not_sent() -> None:
    wire = Wire()
    given_up, *others = claims(wire, 0, 1, 2)
    await asyncio.sleep(0)
    given_up.cancel()
    told = await asyncio.gather(given_up, *others, return_exceptions=True)
    assert isinstance(told[0], asyncio.CancelledError)
    assert [str(reason).split()[0] for reason in told[1:]] == ["1", "2"]
    assert wire.sizes == [2]


async def test_a_refusal_is_of_its_own_request_only() -> None:
    told = await asyncio.gather(*claims(Wire(), 1, 66, 2), return_exceptions=True)
    assert isinstance(told[1], DomainRejected)
    assert [str(told[0]).split()[0], str(told[2]).split()[0]] == ["1", "2"]


async def test_without_an_answer_every_request_may_be_repeated() -> None:
    wire = Wire()

    async def silent(*_: object, **__: object) -> None:
        raise nats.errors.TimeoutError

    wire.request = silent  # type: ignore[method-assign]
    told = await asyncio.gather(*claims(wire, 0, 1, 2), return_exceptions=True)
    assert [type(error) for error in told] == [Unavailable] * 3


async def test_a_runner_that_takes_no_bundles_gets_each_request_alone() -> None:
    wire = Wire(bundles_served=False)
    told = await asyncio.gather(*claims(wire, 0, 1, 2))
    assert [reason.split()[0] for reason in told] == ["0", "1", "2"]
    assert [subject for subject, _, _ in wire.sent] == [rpc.BUNDLE, *[rpc.CLAIM] * 3]
    assert [headers for _, _, headers in wire.sent[1:]] == [{HEADER: t} for t in TRACES[:3]]


async def test_without_bundles_one_request_that_fails_harms_no_other() -> None:
    wire = Wire(bundles_served=False)
    honest = wire.request

    async def request(body: bytes, subject: str, **rest: Any) -> Any:
        if subject == rpc.CLAIM and decode(rpc.ClaimRequest, body).index == 1:
            raise nats.errors.TimeoutError
        await asyncio.sleep(0.001)
        return await honest(body, subject, **rest)

    wire.request = request  # type: ignore[method-assign]
    told = await asyncio.gather(*claims(wire, 0, 1, 2), return_exceptions=True)
    assert isinstance(told[1], Unavailable)
    assert [str(told[0]).split()[0], str(told[2]).split()[0]] == ["0", "2"]


@pytest.mark.parametrize("answer", [*BODIES, b'{"bodies": ["{}"]}'])
async def test_an_answer_that_is_none_fails_each_request(
    answer: bytes,
    aside: list[tuple[Any, ...]],
) -> None:
    wire = Wire()

    async def strange(*_: object, **__: object) -> Any:
        return SimpleNamespace(body=answer)

    wire.request = strange  # type: ignore[method-assign]
    told = await asyncio.gather(*claims(wire, 0, 1), return_exceptions=True)
    assert [type(error) for error in told] == [ContractViolation] * 2


async def test_poison_in_a_bundle_is_recorded_and_harms_no_other(
    aside: list[tuple[Any, ...]],
) -> None:
    good = adapter(rpc.ClaimRequest).dump_json(rpc.ClaimRequest("w", "job", 4, 1)).decode()
    asked = [(rpc.CLAIM, good), (rpc.CLAIM, '{"worker": 1}'), ("rpc.runner.retire", good)]
    body = orjson.dumps({"requests": [{"subject": s, "body": b} for s, b in asked]})
    told = orjson.loads(await Wire().unbundler.answer(body))["bodies"]
    assert decode(rpc.ClaimReply, told[0].encode()) == rpc.ClaimReply(None, "4 None")
    assert [orjson.loads(one)["error"]["code"] for one in told[1:]] == ["Malformed"] * 2
    assert aside == [
        (poison.Source.REQUEST, rpc.CLAIM, b'{"worker": 1}'),
        (poison.Source.REQUEST, "rpc.runner.retire", good.encode()),
    ]


@pytest.mark.parametrize("body", [*BODIES, b'{"requests": []}'])
async def test_what_is_no_bundle_is_malformed(body: bytes) -> None:
    with pytest.raises(poison.Malformed):
        await Wire().unbundler.answer(body)


async def test_one_slow_request_of_a_bundle_keeps_no_answer_from_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unbundling, "ANSWER_SECONDS", 0.01)
    slow, ended = asyncio.Event(), asyncio.Event()

    async def serve(body: bytes) -> bytes:
        if decode(rpc.ClaimRequest, body).index == 1:
            await slow.wait()
            ended.set()
        return await claimed(body)

    told = await asyncio.gather(*claims(Wire(serve), 0, 1, 2), return_exceptions=True)
    assert isinstance(told[1], Unavailable)
    assert [str(told[0]).split()[0], str(told[2]).split()[0]] == ["0", "2"]
    slow.set()
    await ended.wait()  # it went on


async def test_requests_without_a_slot_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unbundling, "ANSWER_SECONDS", 0.01)
    slow, begun = asyncio.Event(), 0

    async def serve(body: bytes) -> bytes:
        nonlocal begun
        begun += 1
        await slow.wait()
        return await claimed(body)

    wire = Wire(serve)
    wire.unbundler = Unbundler(wire.client, wire.handlers, asyncio.Semaphore(2))
    for _ in range(3):
        told = await asyncio.gather(*claims(wire, 0, 1, 2, 3), return_exceptions=True)
        assert [type(error) for error in told] == [Unavailable] * 4
    slow.set()
    answered = await asyncio.gather(*claims(wire, 4, 5))
    assert [reason.split()[0] for reason in answered] == ["4", "5"]
    assert begun == 2 + 2
