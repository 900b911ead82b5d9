"""The one way to connect to NATS.

The client retries for ever, also when the server stands still or what it says cannot be read; when
it is closed all the same, or the server forbids what the service needs, the process ends: a service
that is silently cut off from the log does harm.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
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
PING_SECONDS = 15
"""A server that leaves two pings unanswered is given up at the third: after 30 to 45 seconds."""


def end_process(reason: str) -> None:
    """Stop at once: state lives in the log and the database, a restart heals."""
    log.critical("fatal bus error", extra={"reason": reason})
    os._exit(70)


class _Client(Client):
    """The client of nats-py 2.16, except that nothing but a lost connection ends its reading."""

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg:
        # the server takes any bytes as a subject; nats-py would end its reading at such a message,
        # and a stream that holds it could not be followed by anybody
        plain = subject.decode(errors="replace").encode()
        message: Msg = super()._build_message(sid, plain, reply, data, headers)
        return message

    async def _process_headers(self, headers: bytes) -> dict[str, str] | None:
        try:
            return await super()._process_headers(headers)
        except (IndexError, ValueError):  # header lines of others, which may be anything
            return None

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float = 0.5,
        old_style: bool = False,
        headers: dict[str, Any] | None = None,
    ) -> Msg:
        """The reply to a request.

        On Python 3.11 ``asyncio.wait_for``, which nats-py uses, loses a cancellation that meets the
        reply; the task would then run on for ever.
        """
        task = asyncio.current_task()
        # not 0 for ever after a task group of Python 3.11 that failed while it was left
        cancelled = task.cancelling() if task is not None else 0
        reply: Msg = await super().request(subject, payload, timeout, old_style, headers)
        if task is not None and task.cancelling() > cancelled:
            raise asyncio.CancelledError
        return reply

    async def _process_pong(self) -> None:
        # a flush that was given up leaves a cancelled future in the queue of those that await a
        # pong; nats-py would set it all the same, and that error would end the reading
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()

    async def _read_loop(self) -> None:
        await super()._read_loop()
        # an error that nats-py does not expect ends its reading, and the connection stays open:
        # requests would go out, and no answer would ever be heard
        task = asyncio.current_task()
        assert task is not None
        if self.is_connected and task is self._reading_task and not task.cancelling():
            await self._process_op_err(nats.errors.Error("nats: reading ended"))


@asynccontextmanager
async def connection(
    url: str,
    *,
    name: str,
    credentials: Path | None = None,
    connect_within: float = 15.0,
    on_fatal: Callable[[str], None] = end_process,
) -> AsyncIterator[Client]:
    """A connection that lives as long as the block.

    ``url`` holds one or several comma-separated servers, with user and password if they ask for
    them; ``credentials`` is a .creds file. Replies come to ``_INBOX.<name>``, so that permissions
    can keep services from reading each other's. ``connect_within`` is in seconds. Raises
    Unavailable when no server answers in time.
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
    try:
        async with asyncio.timeout(connect_within):
            await client.connect(
                servers,
                name=name,
                inbox_prefix=f"_INBOX.{name}",
                max_reconnect_attempts=-1,
                reconnect_time_wait=RECONNECT_SECONDS,  # type: ignore[arg-type]  # seconds, may be a fraction
                ping_interval=PING_SECONDS,
                pending_size=PENDING_BYTES,
                closed_cb=closed,
                error_cb=failed,
                **options,
            )
    except (TimeoutError, OSError, nats.errors.Error) as error:
        raise Unavailable(f"no NATS server answers at {', '.join(servers)}") from error
    try:
        yield client
    finally:
        leaving = True
        # there may be nobody left to say goodbye to
        with suppress(nats.errors.Error, OSError):
            await client.close()


def _login(url: str) -> tuple[list[str], dict[str, Any]]:
    """Servers without what is secret, and the secret as options of the client.

    Servers that a cluster announces have no login of their own: as part of a URL it would be
    missing for them, and a reconnect would end in a refusal.
    """
    parts = [urlsplit(part) for part in url.split(",")]
    servers = [f"{p.scheme}://{p.netloc.rpartition('@')[2]}" for p in parts]
    first = parts[0]
    if first.username is None:
        return servers, {}
    if first.password is None:
        return servers, {"token": unquote(first.username)}
    return servers, {"user": unquote(first.username), "password": unquote(first.password)}
