"""Live updates: what a stream tells, how it is read, and when a broken one is opened again.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html, as the service writes it: an
event is ``event``, ``id`` and one line of ``data``. A reader of lines would not do: it would end them
at every line end that Unicode knows, also within JSON, and hide heartbeats, which show that a quiet
connection lives.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import httpx

from kerma_client.api.models import TERMINAL
from kerma_client.errors import UNAVAILABLE, ApiError

EVENTS = "text/event-stream"
NO_STREAM = "the answer is not a stream of live updates"
QUIET_SECONDS = 40.0
"""A connection that is silent for so long is lost; the service sends something every 15 s."""
HEARTBEAT_SECONDS = 15.0
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
MOST_UNREAD = 1 << 20
"""Bytes of an event; a server that sends a longer one is no Kerma."""


@dataclass(frozen=True, slots=True)
class Told:
    """Something that a stream tells; who passes ``position`` on later hears what follows."""

    position: str


@dataclass(frozen=True, slots=True)
class JobChanged(Told):
    """The present state of a job; ``tasks`` counts them by state.

    ``version`` is another one whenever the job or one of its tasks has changed.
    """

    id: str
    state: str
    message: str
    version: str
    tasks: Mapping[str, int]
    requested: int
    simulated: int

    @property
    def over(self) -> bool:
        """Whether the job has ended."""
        return self.state in TERMINAL


@dataclass(frozen=True, slots=True)
class JobDeleted(Told):
    """A job is no more."""

    id: str


@dataclass(frozen=True, slots=True)
class ListStale(Told):
    """Too much happened, or the log was restored: read the list of jobs again."""


@dataclass(frozen=True, slots=True)
class Ready(Told):
    """All that was before the stream was opened has been told."""


Event = JobChanged | JobDeleted | ListStale | Ready


class EventReader:
    """Makes events of the bytes of a stream, and None of heartbeats.

    An event that has no position of its own has that of the one before: it is not the last of those
    that were told together.
    """

    def __init__(self, position: str = "") -> None:
        self._unread = b""
        self._position = position

    @classmethod
    def of(cls, answer: httpx.Response, position: str) -> Self:
        """Return a reader of an answer to who was at a position.

        Raises ApiError for one that is no stream of events.
        """
        media = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media != EVENTS:
            raise ApiError(answer.status_code, NO_STREAM, {})
        return cls(position)

    def feed(self, chunk: bytes) -> Iterator[Event | None]:
        """Yield what is complete. Raises ApiError for what is not a stream of a Kerma."""
        *complete, self._unread = (self._unread + chunk).split(b"\n\n")
        if len(self._unread) > MOST_UNREAD:
            raise ApiError(200, NO_STREAM, {})
        for block in complete:
            try:
                event = self._event(block)
            except (ValueError, KeyError, TypeError):
                raise ApiError(200, NO_STREAM, {}) from None
            yield event

    def _event(self, block: bytes) -> Event | None:
        lines = (line.partition(": ") for line in block.decode().split("\n"))
        fields = {name: value for name, _, value in lines}
        if "event" not in fields:
            return None
        self._position = position = fields.get("id", self._position)
        data = json.loads(fields["data"])
        match fields["event"]:
            case "job":
                return _changed(position, data)
            case "deleted":
                return JobDeleted(position, data["id"])
            case "reset":
                return ListStale(position)
            case "ready":
                return Ready(position)
        return None  # kinds of later releases


def _changed(position: str, raw: Mapping[str, Any]) -> JobChanged:
    return JobChanged(
        position,
        raw["id"],
        raw["state"],
        raw["message"],
        raw["version"],
        raw["tasks"],
        raw["primaries"]["requested"],
        raw["primaries"]["simulated"],
    )


@dataclass(slots=True)
class Patience:
    """How long something may not answer before who waits for it gives up."""

    seconds: float
    _since: float | None = field(default=None, init=False)
    """When the first failure came since it answered last."""
    _failures: int = 0

    def answered(self) -> None:
        """Note that it answers."""
        self._since, self._failures = None, 0

    def failed(self, error: Exception) -> None:
        """Note that it does not answer. Raises the error once this has lasted too long.

        Raises every answer but 503 at once.
        """
        if isinstance(error, ApiError) and error.status != UNAVAILABLE:
            raise error
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if now - self._since > self.seconds:
            raise error
        self._failures += 1

    @property
    def pause(self) -> float:
        """Seconds before the next try, longer after each failure."""
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._failures, 10))
        # jitter, so that clients that were cut off together do not come back together
        return longest * random.uniform(0.5, 1.5)  # noqa: S311 - spreads tries, guards nothing
