"""A server that answers as told, for both clients; nothing leaves the process."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from itertools import islice
from typing import Any, Protocol

import httpx

from kerma_client.aio import AsyncKermaClient
from kerma_client.api.exchange import Retries
from kerma_client.client import KermaClient
from kerma_common.errors import KermaError, Unauthenticated, VoidToken
from kerma_common.http.refusals.forms import refused_as
from kerma_common.http.refusals.handlers import problem as refuse

URL = "http://kerma.test"
ENTRY = {
    "id": "j1",
    "title": "water",
    "state": "RUNNING",
    "submitted_at": "2026-11-22T01:25:56.120Z",
    "ended_at": None,
    "platform": "DIRECT",
    "input_type": "project",
    "engine": "geant4",
    "engine_version": "11.4.1",
    "engine_asked_for": "geant4",
}
JOB = {
    **ENTRY,
    "message": "Job is running",
    "primaries": {"requested": 10, "simulated": 4, "merged": None},
    "tasks": {"total": 1},
    "partial": False,
    "links": {},
}
Lost = httpx.Response | httpx.TransportError
Answers = list[Lost]


class Unended(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A stream of which nobody may read more than there is: it would wait for ever."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    def __iter__(self) -> Iterator[bytes]:
        yield self.raw
        raise AssertionError("waits for more")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


class Server:
    """Answers in the given order, the last one again and again; keeps what it was asked.

    Streams of live updates are answered by ``streams``; without any left, there are too many.
    """

    def __init__(self, *answers: httpx.Response | httpx.TransportError) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []
        self.streams: list[bytes | Unended | httpx.Response | httpx.TransportError] = []
        self.session = {"refresh_token": "r"}
        self.retries = Retries()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if request.url.path.endswith("/events"):
            return self.stream()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return _again(answer)

    def stream(self) -> httpx.Response:
        told = self.streams.pop(0) if self.streams else problem(429, "too-many-requests")
        if isinstance(told, Exception):
            raise told
        if isinstance(told, httpx.Response):
            return _again(told)
        headers = {"content-type": "text/event-stream; charset=utf-8"}
        if isinstance(told, bytes):
            return httpx.Response(200, content=told, headers=headers)
        return httpx.Response(200, stream=told, headers=headers)

    @property
    def paths(self) -> list[str]:
        return [request.url.raw_path.decode() for request in self.asked]


def _again(answer: httpx.Response) -> httpx.Response:
    """Return a copy, since an answer can be read once."""
    return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


class Ask(Protocol):
    """Calls a method of a client; returns at most ``most`` of what a generator yields."""

    def __call__(
        self, server: Server, method: str, arguments: dict[str, Any], most: int | None = None
    ) -> Any: ...


def sync_ask(
    server: Server, method: str, arguments: dict[str, Any], most: int | None = None
) -> Any:
    transport = httpx.MockTransport(server)
    with KermaClient(URL, transport=transport, retries=server.retries) as client:
        client._http.cookies.update(server.session)
        found = getattr(client, method)(**arguments)
        return list(islice(found, most)) if isinstance(found, Iterator) else found


def async_ask(
    server: Server, method: str, arguments: dict[str, Any], most: int | None = None
) -> Any:
    async def run() -> Any:
        transport = httpx.MockTransport(server)
        async with AsyncKermaClient(URL, transport=transport, retries=server.retries) as client:
            client._http.cookies.update(server.session)
            found = getattr(client, method)(**arguments)
            if not inspect.isasyncgen(found):
                return await found
            async with aclosing(found):
                return [item async for item in _first(found, most)]

    return asyncio.run(run())


async def _first(found: AsyncIterator[Any], most: int | None) -> AsyncIterator[Any]:
    number = 0
    while number != most:
        try:
            yield await anext(found)
        except StopAsyncIteration:
            return
        number += 1


def ok(body: object, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=body)


def problem(status: int, kind: str, **more: Any) -> httpx.Response:
    headers = {"content-type": "application/problem+json"}
    if "retry_after" in more:
        headers["Retry-After"] = str(more.pop("retry_after"))
    body = {"type": f"/v1/problems#{kind}", "title": "T", "status": status, "detail": "D", **more}
    return httpx.Response(status, headers=headers, content=json.dumps(body))


def refusal_of(error: KermaError) -> httpx.Response:
    """Return a refusal as services make it."""
    with refused_as("/v1/jobs/j1"):
        made = refuse(error)
    return httpx.Response(made.status_code, headers=dict(made.headers), content=bytes(made.body))


VOID = refusal_of(VoidToken("Signature has expired"))
NO_TOKEN = refusal_of(Unauthenticated("No token provided"))
BUSY = problem(503, "unavailable", retry_after=2)
