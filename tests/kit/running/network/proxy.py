"""A TCP proxy in front of a server that can lose an answer, as a broken network does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Proxy:
    """Proxy that forwards bytes both ways until it is told to lose some."""

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self.lost = 0
        self._target = (host, port)
        self._trigger: bytes | None = None

    def lose_answer_to(self, request: bytes) -> None:
        """Deliver the next bytes that contain ``request``, drop the answer, and disconnect."""
        self._trigger = request

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Proxy]:
        """Accept connections on a free loopback port during the block."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(*self._target)
        cut = asyncio.Event()
        try:
            with suppress(OSError):
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._requests(reader, there_writer, cut))
                    tasks.create_task(self._answers(there_reader, writer, cut))
        finally:
            for end in (writer, there_writer):
                end.close()

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: asyncio.Event
    ) -> None:
        while data := await reader.read(65536):
            if self._trigger is not None and self._trigger in data:
                self._trigger = None
                cut.set()
            writer.write(data)
            await writer.drain()
        writer.close()

    async def _answers(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: asyncio.Event
    ) -> None:
        while data := await reader.read(65536):
            if cut.is_set():
                self.lost += 1
                break
            writer.write(data)
            await writer.drain()
        writer.close()
