"""Server-sent events of an application in this process, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

SECONDS = 20.0


@dataclass
class Told:
    """One event."""

    kind: str
    id: str | None
    data: dict[str, Any]

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the event, with parsed data."""
        at = {} if self.id is None else {"id": self.id}
        return {"event": self.kind, **at, "data": self.data}


@dataclass
class EventReader:
    """What a stream has sent. ``reading`` is cleared to play a client that reads nothing."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    parts: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    reading: asyncio.Event = field(default_factory=asyncio.Event)
    _waiting: list[Told] = field(default_factory=list)
    _rest: bytes = b""

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {k.decode(): v.decode() for k, v in message["headers"]}
            return
        await self.reading.wait()
        self.parts.put_nowait(message["body"])
        if not message.get("more_body"):
            self.parts.put_nowait(None)

    async def next(self) -> Told | None:
        """Return the next event, None at the end of the stream."""
        async with asyncio.timeout(SECONDS):  # heartbeats count for nothing
            while not self._waiting:
                part = await self.parts.get()
                if part is None:
                    return None
                *whole, self._rest = (self._rest + part).split(b"\n\n")
                self._waiting += [told for text in whole if (told := _told(text)) is not None]
        return self._waiting.pop(0)

    async def kinds(self, number: int) -> list[str]:
        """Return the kinds of so many events; fewer if the stream ends before."""
        told = [await self.next() for _ in range(number)]
        return [event.kind for event in told if event is not None]

    async def until(self, kind: str, **data: Any) -> Told:
        """Return the next event of a kind that has these data."""
        while (told := await self.next()) is not None:
            if told.kind == kind and data.items() <= told.data.items():
                return told
        raise AssertionError(f"the stream ended without {kind} {data}")


def _told(text: bytes) -> Told | None:
    fields = dict(line.split(": ", 1) for line in text.decode().splitlines() if ": " in line)
    if "event" not in fields:
        return None
    return Told(fields["event"], fields.get("id"), orjson.loads(fields["data"]))


@asynccontextmanager
async def listening(
    app: Any,
    path: str,
    user: str,
    last_id: str | None = None,
    method: str = "GET",
    extensions: Any = None,
) -> AsyncIterator[EventReader]:
    """Open a stream; the client goes at the end of the block."""
    reader = EventReader()
    reader.reading.set()
    headers = [(b"host", b"test"), (b"authorization", f"Bearer {user}".encode())]
    if last_id:
        headers.append((b"last-event-id", last_id.encode()))
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("test", 80),
        "extensions": extensions or {},
    }
    serving = asyncio.create_task(app(scope, reader.receive, reader.send))
    try:
        yield reader
    finally:
        reader.gone.set()
        reader.reading.set()
        async with asyncio.timeout(SECONDS):
            await serving


def app_of(client: httpx.AsyncClient) -> Any:
    """Return the application that a client calls."""
    transport: Any = client._transport
    return transport.app
