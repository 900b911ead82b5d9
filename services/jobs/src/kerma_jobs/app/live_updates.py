"""Live updates: who listens to which jobs, and what they are told when something changes.

Nothing is polled. The projection's positions and the progress of workers wake ``run``, which reads what
changed since its last reading, once for all listeners and at most four times a second, and puts it
into their mailboxes. So no update is newer than what a read shows, on any replica.

Why a job waits depends on other jobs and on workers. So when anything has changed, the jobs that wait
are looked at again too, seldom, and told if they wait for another reason or another time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, Protocol

from prometheus_client import Gauge

from kerma_common.contracts.events import auth
from kerma_common.errors import TooManyRequests
from kerma_common.http.event_stream import HEARTBEAT, MOST_UNSENT, Mailbox, message
from kerma_common.projection.retries.failures import is_transient
from kerma_jobs.read.changes import MOST, ChangedJob, Changes, Position

if TYPE_CHECKING:
    from kerma_common.security.principal import Principal

PAUSE_SECONDS = 0.25
"""Between two readings: no job is told of more often."""
SHARE = 2
"""A reading that took t seconds is followed by a pause of at least ``SHARE`` times t."""
LONGEST_PAUSE_SECONDS = 2.0
HEARTBEAT_SECONDS = 15.0
RETRY_SECONDS = 1.0
MOST_AT_FIRST = MOST_UNSENT - 2
"""Jobs that a new stream tells; with more, it says that the list is to be read."""
LISTENERS = Gauge("jobs_live_listeners", "Open streams of live updates")
_NOWHERE = Position(-1, -1, -1)
_log = logging.getLogger(__name__)

OUTLOOK_SECONDS = 5.0
"""From a change to a look at the jobs that wait; a queue that was read before it is not used then."""
MOST_LOOKED_AT = 200
"""Waiting jobs of one look, those first that were looked at longest ago."""


class Shown(NamedTuple):
    """A job as JSON, and whether it waits for others."""

    data: bytes
    waits: bool


Show = Callable[[ChangedJob], Awaitable[Shown]]
"""Renders a job."""


class ReadsChanges(Protocol):
    """Reads what changed."""

    async def position(self) -> Position:
        """Return how far the rows have come."""

    async def since(
        self,
        before: Position,
        owners: Collection[str],
        jobs: Collection[str] = (),
        *,
        most: int = MOST,
    ) -> Changes:
        """Return what changed after a position, and ``jobs`` in any case; nothing above ``most``."""


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Most open streams of a process, and of one user in it."""

    all: int = 500
    per_user: int = 20


@dataclass(eq=False, slots=True)
class Listener:
    """A stream of one user, of all jobs or of one."""

    principal: Principal
    job_id: str | None
    mailbox: Mailbox = field(default_factory=Mailbox)
    timer: asyncio.TimerHandle | None = None
    begun_with: dict[str, bytes] = field(default_factory=dict)
    """What it was told when it began, or before: the next reading for all may hold the same."""
    resumed_at: Position = _NOWHERE
    """What changed up to there it has heard; the next reading for all may begin before."""

    def wants(self, job_id: str) -> bool:
        """Return whether it is told of a job of its user."""
        return self.job_id is None or self.job_id == job_id


@dataclass(slots=True)
class Batch:
    """What one reading tells, put into each mailbox at once.

    Only the last event for a listener has the position as its id: who is cut off before it goes on from
    the position before, and hears the rest.
    """

    position: str
    _told: dict[Listener, dict[str, tuple[str, bytes]]] = field(default_factory=dict, init=False)

    def add(self, listeners: Iterable[Listener], key: str, kind: str, data: bytes) -> None:
        """Add an event for listeners that were not told the same at their beginning."""
        for listener in listeners:
            if listener.begun_with.get(key) != data:
                self._told.setdefault(listener, {})[key] = kind, data

    def send(self) -> dict[str, bytes]:
        """Put everything into the mailboxes; return what was put last into one."""
        told: dict[str, tuple[str, bytes]] = {}
        for listener, told in self._told.items():
            *_, last = told
            for key, (kind, data) in told.items():
                at = self.position if key == last else None
                listener.mailbox.put(key, message(kind, at, data))
        return {key: data for key, (_, data) in told.items()}


@dataclass(slots=True)
class LiveUpdates:
    """The listeners of this process."""

    changes: ReadsChanges
    show: Show
    limits: StreamLimits = field(default_factory=StreamLimits)
    _listeners: dict[str, set[Listener]] = field(default_factory=dict, init=False)
    _number: int = field(default=0, init=False)
    _progressed: set[str] = field(default_factory=set, init=False)
    _woken: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _position: Position | None = field(default=None, init=False)
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _waiting: dict[str, bytes | None] = field(default_factory=dict, init=False)
    """What was told of jobs that wait; None if not everybody was told the same."""
    _look: asyncio.TimerHandle | None = field(default=None, init=False)
    _looks: bool = field(default=False, init=False)

    async def open(self, principal: Principal, job_id: str | None, last_id: str | None) -> Listener:
        """Add a listener; its mailbox holds the present state, or what it missed since ``last_id``.

        Raises TooManyRequests.
        """
        self._admit(principal)
        listener = Listener(principal, job_id)
        self._listeners.setdefault(principal.user_id, set()).add(listener)
        self._count(1)
        try:
            # no reading for all may come in between, or this one could be older
            async with self._reading:
                await self._catch_up(listener, last_id)
        except BaseException:
            self.close(listener)
            raise
        if principal.expires is not None:
            left = (principal.expires - datetime.now(UTC)).total_seconds()
            loop = asyncio.get_running_loop()
            listener.timer = loop.call_later(max(0.0, left), listener.mailbox.close)
        return listener

    def close(self, listener: Listener) -> None:
        """Remove a listener; doing so twice is harmless."""
        user = listener.principal.user_id
        own = self._listeners.get(user, set())
        if listener not in own:
            return
        own.remove(listener)
        if not own:
            del self._listeners[user]
        self._count(-1)
        listener.mailbox.close()
        if listener.timer is not None:
            listener.timer.cancel()

    def moved(self) -> None:
        """Note that the rows may have changed."""
        if self._number:
            self._woken.set()

    def progressed(self, job_id: str) -> None:
        """Note that a worker has reported on a job."""
        if self._number:
            self._progressed.add(job_id)
            self._woken.set()

    def heard(self, event: object) -> None:
        """End the streams whose session an event of auth may have ended.

        A stream that may go on is opened again by its client.
        """
        match event:
            case auth.SessionEnded():
                self._end(event.user_id, lambda of: of.session_id == event.session_id)
            case auth.ApiTokenRevoked():
                self._end(event.user_id, lambda of: of.token_id == event.token_id)
            case auth.SessionsRevoked() | auth.AccountDisabled() | auth.RoleRevoked():
                self._end(event.user_id, lambda _: True)
            case auth.SigningKeyRetired():
                for user in list(self._listeners):
                    self._end(user, lambda of: of.token_id is None)

    def _end(self, user_id: str, concerns: Callable[[Principal], bool]) -> None:
        for listener in self._listeners.get(user_id, ()):
            if concerns(listener.principal):
                listener.mailbox.close()

    def end_all(self) -> None:
        """End every stream; clients resume where they were."""
        for own in self._listeners.values():
            for listener in own:
                listener.mailbox.close()

    async def run(self) -> None:
        """Tell the listeners until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._beat())
                while True:
                    await self._woken.wait()
                    self._woken.clear()
                    await asyncio.sleep(await self._tell())
        finally:
            if self._look is not None:
                self._look.cancel()
            self.end_all()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            for own in self._listeners.values():
                for listener in own:
                    listener.mailbox.put("", HEARTBEAT)

    async def _tell(self) -> float:
        """Tell what changed; return how long to pause."""
        began = time.monotonic()
        try:
            async with self._reading:
                await self._tell_all()
        except Exception as error:
            if not is_transient(error):
                raise
            _log.warning("live updates wait for the database: %r", error)
            self._woken.set()
            return RETRY_SECONDS
        pause = max(PAUSE_SECONDS, SHARE * (time.monotonic() - began))
        return min(pause, LONGEST_PAUSE_SECONDS)

    async def _tell_all(self) -> None:
        if not self._listeners:
            self._position = None
            self._progressed.clear()
            self._waiting.clear()
            return
        progressed, self._progressed = self._progressed, set()
        looks, self._looks = self._looks, False
        looked_at = tuple(islice(self._waiting, MOST_LOOKED_AT)) if looks else ()
        before = self._position or await self.changes.position()
        try:
            also = progressed.union(looked_at)
            found = await self.changes.since(before, list(self._listeners), also)
            if not found.complete:
                self.end_all()
            else:
                await self._deliver(found, also)
        except BaseException:
            self._progressed |= progressed
            self._looks |= looks
            raise
        self._position = found.position
        # deleted, or nobody listens to its owner any more
        for job_id in set(looked_at) - {changed.job.job_id for changed in found.jobs}:
            self._waiting.pop(job_id, None)
        if self._waiting and self._look is None and (progressed or found.position != before):
            self._look = asyncio.get_running_loop().call_later(OUTLOOK_SECONDS, self._look_again)

    def _look_again(self) -> None:
        self._look, self._looks = None, True
        self._woken.set()

    async def _deliver(self, found: Changes, also: Collection[str]) -> None:
        batch = Batch(str(found.position))
        notes: dict[str, Shown] = {}
        for changed in found.jobs:
            job = changed.job
            listeners = list(self._listening(job.owner, job.job_id))
            if not listeners:
                self._waiting.pop(job.job_id, None)
                continue
            shown = notes[job.job_id] = await self.show(changed)
            if shown.data != self._waiting.get(job.job_id):
                if not shown.waits and job.job_id not in also:
                    listeners = [x for x in listeners if not x.resumed_at.holds(changed.at)]
                batch.add(listeners, job.job_id, "job", shown.data)
            await asyncio.sleep(0)  # let requests in
        for job_id, owner in found.deleted.items():
            batch.add(self._listening(owner, job_id), job_id, "deleted", _gone(job_id))
        batch.send()
        # not before: of a reading that fails amid its jobs, nobody is told anything
        for job_id, shown in notes.items():
            self._waiting.pop(job_id, None)
            if shown.waits:
                self._waiting[job_id] = shown.data
        for own in self._listeners.values():
            for listener in own:
                listener.begun_with.clear()

    def _listening(self, owner: str, job_id: str) -> Iterator[Listener]:
        return (x for x in self._listeners.get(owner, ()) if x.wants(job_id))

    async def _catch_up(self, listener: Listener, last_id: str | None) -> None:
        now = await self.changes.position()
        self._position = self._position or now
        owner, known = (listener.principal.user_id,), dict[str, bytes]()
        last = Position.parse(last_id) if last_id else None
        open_ = Position(now.jobs, -1, -1)
        resumes = last is not None and now.holds(last)
        if listener.job_id is not None:
            found = await self.changes.since(now, owner, (listener.job_id,))
        elif resumes and last is not None:
            found = await self.changes.since(last, owner, most=MOST_AT_FIRST)
            if found.complete:
                known = await self._note_waiting(await self.changes.since(open_, owner))
        else:
            # jobs that have ended are in the list
            found = await self.changes.since(open_, owner, most=MOST_AT_FIRST)
        batch = Batch(str(found.position))
        if (last is not None and not resumes) or not found.complete:
            # events were lost with a restored log, or there are very many
            batch.add((listener,), "reset", "reset", b"{}")
        # of too many, the list tells; the mailbox would be full at once
        for changed in found.jobs:
            if not listener.wants(changed.job.job_id):
                continue  # it has changed just now
            batch.add((listener,), changed.job.job_id, "job", await self._begin(changed))
        for job_id in found.deleted:
            if listener.wants(job_id):
                batch.add((listener,), job_id, "deleted", _gone(job_id))
        batch.add((listener,), "ready", "ready", b"{}")
        listener.begun_with = known | batch.send()
        if resumes:
            listener.resumed_at = found.position

    async def _note_waiting(self, open_: Changes) -> dict[str, bytes]:
        """Note and return jobs that a client knows from another process, so that they are looked at.

        It is not told again what it was told there; of a reason that changed while nobody told it
        anything, it hears when that changes again.
        """
        known: dict[str, bytes] = {}
        waiting = (changed for changed in open_.jobs if not changed.running)
        for changed in islice(waiting, MOST_LOOKED_AT):
            shown = await self.show(changed)
            if shown.waits:
                known[changed.job.job_id] = shown.data
                told = self._told_to_all(changed, shown)
                self._waiting.setdefault(changed.job.job_id, told)
        return known

    async def _begin(self, changed: ChangedJob) -> bytes:
        """Return a job for one listener; others may have been told something else."""
        shown, job_id = await self.show(changed), changed.job.job_id
        if shown.waits:
            told = self._waiting.get(job_id, self._told_to_all(changed, shown))
            self._waiting[job_id] = shown.data if told == shown.data else None
        return shown.data

    def _told_to_all(self, changed: ChangedJob, shown: Shown) -> bytes | None:
        """Return what all were told when one was told of an unknown job; others wait for it."""
        listeners = self._listening(changed.job.owner, changed.job.job_id)
        return shown.data if len(list(islice(listeners, 2))) == 1 else None

    def _admit(self, principal: Principal) -> None:
        own = len(self._listeners.get(principal.user_id, ()))
        if own >= self.limits.per_user:
            text = f"You have {own} open streams, the most that one user may have"
            raise TooManyRequests(text, HEARTBEAT_SECONDS)
        if self._number >= self.limits.all:
            raise TooManyRequests("There are too many open streams; try again", HEARTBEAT_SECONDS)

    def _count(self, more: int) -> None:
        self._number += more
        LISTENERS.set(self._number)


def _gone(job_id: str) -> bytes:
    return b'{"id":"%s"}' % job_id.encode()
