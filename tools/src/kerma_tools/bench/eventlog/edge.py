"""The cost of FastStream: requests and hints through it and on the bare client, in turns."""

from __future__ import annotations

import asyncio
import resource
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import uvloop
from nats.aio.client import Client
from nats.aio.msg import Msg

from kerma_allinone.children import nats_server
from kerma_common.bus.decoding import decode
from kerma_common.bus.faststream import EdgeBroker
from kerma_common.bus.rpc import call
from kerma_common.contracts import rpc_runner as rpc
from kerma_common.contracts.registry import adapter
from kerma_common.nats import connection
from kerma_tools.bench.figure import Figure

TURNS, REQUESTS, HINTS = 7, 400, 2000
BAR = 8.0
"""Limit of ADR 0026: a worker makes a few requests per task and five hints a second."""
CLAIM, GONE = rpc.ClaimRequest("w", "job", 0, 1), rpc.ClaimReply(None, "GONE")
SIGNAL = rpc.StopSignal((rpc.HeldLease("job", 0, 1),))


def edge_cost() -> list[Figure]:
    """Measure latency and processor time of a request, processor time of a hint, for both ends."""
    with tempfile.TemporaryDirectory(prefix="kerma-bench-") as folder:
        return uvloop.run(_measure(Path(folder)))


async def _measure(folder: Path) -> list[Figure]:
    async with (
        nats_server(folder / "nats") as server,
        connection(server.url, name="bench-runner") as serving,
        connection(server.url, name="bench-worker") as asking,
    ):
        there, here = EdgeBroker(serving), EdgeBroker(asking)
        heard = asyncio.Semaphore(0)
        await _serve_bare(serving, heard)
        _serve_edge(there, heard)
        await there.start()
        await serving.flush()  # the server knows of the subscriptions now

        async def edge_request() -> None:
            await call(here, "edge.ask", CLAIM, rpc.ClaimReply)

        async def bare_request() -> None:
            reply = await asking.request("bare.ask", adapter(rpc.ClaimRequest).dump_json(CLAIM))
            decode(rpc.ClaimReply, reply.data)

        async def edge_hint() -> None:
            await here.publish(adapter(rpc.StopSignal).dump_json(SIGNAL), "edge.tell")
            await heard.acquire()

        async def bare_hint() -> None:
            await asking.publish("bare.tell", adapter(rpc.StopSignal).dump_json(SIGNAL))
            await heard.acquire()

        asked = await _turns(edge_request, bare_request, REQUESTS)
        turns = await _turns(edge_hint, bare_hint, HINTS)
        await there.stop()
    return [
        _figure("edge_request_ms", "ms", [a[0] for a in asked[0]], [b[0] for b in asked[1]]),
        _figure("edge_request_cpu_us", "us", [a[1] for a in asked[0]], [b[1] for b in asked[1]]),
        _figure("edge_hint_cpu_us", "us", [a[1] for a in turns[0]], [b[1] for b in turns[1]]),
    ]


def _figure(name: str, unit: str, edge: list[float], bare: list[float]) -> Figure:
    scale = 1e3 if unit == "ms" else 1e6
    values = median(edge) * scale, median(bare) * scale
    return Figure(name, values[0], unit, "bare client", values[1], BAR, lower_is_better=True)


async def _turns(
    edge: Callable[[], Awaitable[None]], bare: Callable[[], Awaitable[None]], n: int
) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Return wall and processor seconds of a call, turn by turn, after a warm-up."""
    found: tuple[list[tuple[float, float]], list[tuple[float, float]]] = ([], [])
    for turn in range(TURNS + 1):
        for action, results in ((edge, found[0]), (bare, found[1])):
            began, used = perf_counter(), _processor()
            for _ in range(n):
                await action()
            if turn:
                results.append(((perf_counter() - began) / n, (_processor() - used) / n))
    return found


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def _serve_bare(client: Client, heard: asyncio.Semaphore) -> None:
    async def ask(message: Msg) -> None:
        decode(rpc.ClaimRequest, message.data)
        await message.respond(adapter(rpc.ClaimReply).dump_json(GONE))

    async def tell(message: Msg) -> None:
        decode(rpc.StopSignal, message.data)
        heard.release()

    await client.subscribe("bare.ask", queue="runner", cb=ask)
    await client.subscribe("bare.tell", cb=tell)
    await client.flush()


def _serve_edge(broker: EdgeBroker, heard: asyncio.Semaphore) -> None:
    @broker.subscriber("edge.ask", queue="runner", max_workers=32)
    async def ask(body: bytes) -> bytes:
        decode(rpc.ClaimRequest, body)
        return adapter(rpc.ClaimReply).dump_json(GONE)

    broker.on_hint("edge.tell", rpc.StopSignal, lambda _: heard.release())
