"""Server-sent events: a response that lasts, and the mailbox that feeds it.

A listener costs one suspended task, which waits for the client's end; a second one exists while
there is something to send. What a client has not read yet is bounded: of every thing there is only
the latest message, and a client that falls too far behind is dropped and can resume.
Format: https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.responses import Response

from kerma_common.http.refusals.statuses import EVENT_STREAM
from kerma_common.http.server.leaving import LEAVING, Leaving

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

MOST_UNSENT = 1000
"""Messages that may wait for a client."""
HEARTBEAT = b":\n\n"
RETRY_MILLISECONDS = 2000
BODILESS = "kerma.bodiless"
"""Key of a scope that answers HEAD: its response has no body, so it does not last."""


def message(kind: str, event_id: str | None, data: bytes) -> bytes:
    """Return an event; ``data`` is one line of JSON.

    Who hears an event without an id is, when resuming, where the event before has left it.
    """
    at = b"" if event_id is None else b"id: %s\n" % event_id.encode()
    return b"event: %s\n%sdata: %s\n\n" % (kind.encode(), at, data)


class Mailbox:
    """What a client has still to be told, in order; a newer message replaces one of the same key."""

    def __init__(self, most: int = MOST_UNSENT) -> None:
        self._most = most
        self._unsent: dict[str, bytes] = {}
        self._changed: Callable[[], None] | None = None
        self.closed = False

    def put(self, key: str, body: bytes) -> None:
        """Add a message. A mailbox that is full is closed: the client resumes where it was."""
        if self.closed:
            return
        self._unsent.pop(key, None)
        if len(self._unsent) >= self._most:
            self.close()
            return
        self._unsent[key] = body
        self._call()

    def close(self) -> None:
        """End the response after what is being sent; what waits is dropped."""
        if not self.closed:
            self.closed = True
            self._unsent.clear()
            self._call()

    def take(self) -> bytes:
        """Return and remove everything that waits."""
        body = b"".join(self._unsent.values())
        self._unsent.clear()
        return body

    def attach(self, changed: Callable[[], None]) -> None:
        """Call a function at every change from now on, and now."""
        self._changed = changed
        changed()

    def detach(self) -> None:
        """Call it no more."""
        self._changed = None

    def _call(self) -> None:
        if self._changed is not None:
            self._changed()


class EventStream(Response):
    """A response that sends what arrives in a mailbox, until either side ends it."""

    media_type = EVENT_STREAM

    def __init__(self, mailbox: Mailbox, ended: Callable[[], None]) -> None:
        # a proxy that collects the answer before it passes it on would never pass on anything
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._mailbox = mailbox
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the client, the server or the mailbox ends the stream."""
        leaving = (scope.get("extensions") or {}).get(LEAVING)
        if isinstance(leaving, Leaving):
            leaving.add(self._mailbox.close)
        try:
            await self._serve(scope, receive, send)
        finally:
            self._mailbox.close()
            if isinstance(leaving, Leaving):
                leaving.remove(self._mailbox.close)
            self._ended()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(head)
        if scope.get(BODILESS):
            await send({"type": "http.response.body", "body": b""})
            return
        await send(_part(b"retry: %d\n\n" % RETRY_MILLISECONDS))
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(_until_gone(receive))
            sending: asyncio.Task[None] | None = None

            def changed() -> None:
                nonlocal sending
                if sending is None or sending.done():
                    sending = group.create_task(self._send(send, waiting))

            self._mailbox.attach(changed)
            await asyncio.wait((waiting,))
            self._mailbox.detach()
            if sending is not None:
                sending.cancel()
        if not self._gone(waiting):
            await send({"type": "http.response.body", "body": b""})

    async def _send(self, send: Send, waiting: asyncio.Task[None]) -> None:
        while body := self._mailbox.take():
            await send(_part(body))
        if self._mailbox.closed:
            waiting.cancel()

    @staticmethod
    def _gone(waiting: asyncio.Task[None]) -> bool:
        """Return whether the client ended the stream."""
        return not waiting.cancelled()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _part(body: bytes) -> dict[str, object]:
    return {"type": "http.response.body", "body": body, "more_body": True}
