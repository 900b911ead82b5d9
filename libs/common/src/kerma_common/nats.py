"""The only way to connect to NATS.

The client reconnects without limit, even if the server hangs or sends something unreadable. If the
connection is closed anyway, or the server denies a permission that the service needs, the process
ends: a service that is silently cut off from the log does harm.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from kerma_common.errors import Unavailable

log = logging.getLogger(__name__)

PENDING_BYTES = 64 * 1024 * 1024
RECONNECT_SECONDS = 0.25
KNOWN_NAME_BYTES = 64
"""Longest name of a header that is remembered."""
PING_SECONDS = 15
"""The client gives up a server at its third unanswered ping: after 30 to 45 seconds."""


def end_process(reason: str) -> None:
    """Exit at once: state lives in the log and the database, so a restart recovers."""
    log.critical("fatal bus error", extra={"reason": reason})
    os._exit(70)


class _Client(Client):
    """The client of nats-py 2.16, with a read loop that only a lost connection ends."""

    def __init__(self) -> None:
        super().__init__()
        self.on_reconnect: set[Callable[[], None]] = set()

    async def reconnected(self) -> None:
        """Tell those who asked that what the server kept for the old connection may be gone."""
        for call in tuple(self.on_reconnect):
            call()

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg:
        # The server accepts any bytes as a subject. nats-py's read loop would end at such a
        # message, and nobody could follow a stream that holds it.
        plain = subject.decode(errors="replace").encode()
        message: Msg = super()._build_message(sid, plain, reply, data, headers)
        return message

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        # As in nats-py, which spends half of its time per message on the names of headers.
        found: dict[str, str] = {}
        for line in raw.split(b"\r\n"):
            name, colon, value = line.partition(b":")
            if colon and (key := _header_name(name.strip())) is not None:
                found[key] = value.strip().decode("utf-8", "replace")
        return found

    async def _process_headers(self, headers: bytes) -> dict[str, str] | None:
        try:
            return await super()._process_headers(headers)
        except (IndexError, ValueError):  # foreign header lines can be anything
            return None

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float = 0.5,
        old_style: bool = False,
        headers: dict[str, Any] | None = None,
    ) -> Msg:
        """Return the reply to a request.

        nats-py uses ``asyncio.wait_for``, which on Python 3.11 loses a cancellation that arrives
        together with the reply; the task would then never stop.
        """
        task = asyncio.current_task()
        # Python 3.11 leaves the count above 0 if a task group failed while it was exiting.
        cancelled = task.cancelling() if task is not None else 0
        reply: Msg = await super().request(subject, payload, timeout, old_style, headers)
        if task is not None and task.cancelling() > cancelled:
            raise asyncio.CancelledError
        return reply

    async def _process_pong(self) -> None:
        # An abandoned flush leaves a cancelled future among those that wait for a pong. nats-py
        # would set its result, and the error would end the read loop.
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()

    async def _read_loop(self) -> None:
        await super()._read_loop()
        # An error that nats-py does not expect ends its read loop but leaves the connection open:
        # requests would go out, and no reply would ever arrive.
        task = asyncio.current_task()
        assert task is not None
        if self.is_connected and task is self._reading_task and not task.cancelling():
            await self._process_op_err(nats.errors.Error("nats: reading ended"))


def _header_name(name: bytes) -> str | None:
    """Return a header's name, or None if it is not one."""
    # Anybody may send names of megabytes; none of those is kept.
    return _known_name(name) if len(name) <= KNOWN_NAME_BYTES else _decoded_name(name)


@lru_cache(maxsize=256)
def _known_name(name: bytes) -> str | None:
    return _decoded_name(name)


def _decoded_name(name: bytes) -> str | None:
    if not name.isascii() or any(chr(byte).isspace() for byte in name):
        return None
    return name.decode()


@asynccontextmanager
async def connection(
    url: str,
    *,
    name: str,
    credentials: Path | None = None,
    connect_within: float = 15.0,
    on_fatal: Callable[[str], None] = end_process,
) -> AsyncIterator[Client]:
    """Connect for the duration of the block.

    ``url`` holds one or more comma-separated servers, with user and password if required;
    ``credentials`` is a .creds file. Replies arrive at ``_INBOX.<name>``, so permissions can keep
    services from reading each other's replies. ``connect_within`` is in seconds. Raises Unavailable
    if no server answers in time.
    """
    client = _Client()
    leaving = False

    async def closed() -> None:
        if not leaving:
            on_fatal("the connection was closed")

    async def failed(error: Exception) -> None:
        if "permissions violation" in str(error).lower():
            on_fatal(str(error))
        else:
            log.warning("bus error", extra={"error": repr(error)})

    servers, options = _login(url)
    if credentials is not None:
        options["user_credentials"] = str(credentials)
    options |= {"closed_cb": closed, "error_cb": failed}
    try:
        async with asyncio.timeout(connect_within):
            await _connect(client, servers, name, options)
    except (TimeoutError, OSError, nats.errors.Error) as error:
        raise Unavailable(f"no NATS server answers at {', '.join(servers)}") from error
    try:
        yield client
    finally:
        leaving = True
        # The server may be gone already.
        with suppress(nats.errors.Error, OSError):
            await client.close()


async def _connect(
    client: _Client, servers: list[str], name: str, options: Mapping[str, Any]
) -> None:
    await client.connect(
        servers,
        name=name,
        inbox_prefix=f"_INBOX.{name}",
        max_reconnect_attempts=-1,
        reconnect_time_wait=RECONNECT_SECONDS,  # type: ignore[arg-type]  # seconds, may be a fraction
        ping_interval=PING_SECONDS,
        pending_size=PENDING_BYTES,
        reconnected_cb=client.reconnected,
        **options,
    )


def when_reconnected(client: Client, call: Callable[[], None]) -> Callable[[], None]:
    """Call ``call`` after every reconnection of ``client``; the result ends this."""
    if not isinstance(client, _Client):
        return lambda: None
    client.on_reconnect.add(call)
    return lambda: client.on_reconnect.discard(call)


def _login(url: str) -> tuple[list[str], dict[str, Any]]:
    """Split a URL into servers without credentials, and the credentials as client options.

    Servers that a cluster announces carry no credentials. If these were part of a URL, the client
    would reconnect to such a server without them and be refused.
    """
    parts = [urlsplit(part) for part in url.split(",")]
    servers = [f"{p.scheme}://{p.netloc.rpartition('@')[2]}" for p in parts]
    first = parts[0]
    if first.username is None:
        return servers, {}
    if first.password is None:
        return servers, {"token": unquote(first.username)}
    return servers, {"user": unquote(first.username), "password": unquote(first.password)}
