"""From command to commit: load, decide, append; on a conflict, start over."""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from prometheus_client import Counter

from kerma_common.contracts.envelope import Meta, make_commit
from kerma_common.domain import Aggregate, Missing, Rejected
from kerma_common.errors import (
    ConcurrencyConflict,
    ContractViolation,
    DomainRejected,
    UnknownAggregate,
    UnreadableHistory,
)
from kerma_common.faults import FaultPoint, reached

if TYPE_CHECKING:
    from kerma_common.commands.context import CommandContext
    from kerma_common.contracts.envelope import Commit, Recorded, StoredEvent
    from kerma_common.contracts.subjects import Subject
    from kerma_common.eventlog.port import Appended, EventLog

S = TypeVar("S")

TRIES = 5
CACHED = 4096

OCC_CONFLICTS = Counter("kerma_occ_conflicts_total", "Commits that came second", ["stream"])


@dataclass(frozen=True, slots=True)
class Executed(Generic[S]):
    """The outcome of a command.

    ``events`` are those of the command's commit, () if it changed nothing. ``state`` is the
    aggregate's as of ``seq``, the stream sequence that a reader must have passed to see it.
    ``changed`` is true if this call or an earlier one of the same cause stored a commit.
    """

    state: S
    events: tuple[object, ...]
    stream: str
    seq: int
    changed: bool


@dataclass(frozen=True, slots=True)
class _Held(Generic[S]):
    """A folded aggregate: sequence of its last commit (0: none), number of events, commit ids."""

    state: S
    seq: int
    version: int
    commits: frozenset[str]


class CommandBus:
    """Executor of a service's commands on its aggregates.

    States are cached in memory, evicting the least recently used. A cached state may be stale: an
    append then conflicts. An outcome without an append (rejected, nothing to do) is final only once
    the leader of the log has confirmed that nothing followed.
    """

    def __init__(self, log: EventLog, service: str, *, cached: int = CACHED) -> None:
        self._log = log
        self._service = service
        self._cached = cached
        self._states: OrderedDict[str, _Held[Any]] = OrderedDict()

    async def execute(
        self,
        aggregate: Aggregate[S],
        subject: Subject,
        command: object,
        ctx: CommandContext,
        *,
        fresh: bool = False,
    ) -> Executed[S]:
        """Decide ``command`` and store the events.

        ``fresh`` says that the aggregate probably has no commit yet: it is not read before the
        append, which conflicts if it has one.

        Raises DomainRejected if a rule forbids it, ConcurrencyConflict after five lost races, and
        whatever ``EventLog.append`` raises. A cause that is already stored is not decided again:
        the stored commit is returned.
        """
        commit_id = ctx.commit_id(str(subject))
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(random.uniform(0, 0.005) * 2**attempt)  # noqa: S311 - jitter
            held = self._recall(subject)
            if held is None and fresh and not attempt:
                held = _Held(aggregate.initial, 0, 0, frozenset())
            held = held or await self._load(aggregate, subject)
            if commit_id in held.commits:
                return await self._stored(aggregate, subject, commit_id)
            events = await self._decide(aggregate, subject, held, command)
            if events is None:
                continue
            if not events:
                return Executed(held.state, (), subject.stream, held.seq, changed=False)
            commit = self._commit(aggregate, subject, held, command, ctx, events)
            reached(FaultPoint.BEFORE_APPEND)
            try:
                appended = await self._log.append(subject, held.seq, commit)
                reached(FaultPoint.AFTER_APPEND_BEFORE_ANSWER)
            except ConcurrencyConflict:
                OCC_CONFLICTS.labels(subject.stream).inc()
                self._forget(subject)
                continue
            except Exception:
                self._forget(subject)
                raise
            if appended.duplicate:
                return await self._stored(aggregate, subject, commit_id)
            return self._advanced(aggregate, subject, held, commit, events, appended)
        raise ConcurrencyConflict(f"{subject} changes too fast; try again")

    async def state(self, aggregate: Aggregate[S], subject: Subject) -> tuple[S, int]:
        """Return an aggregate's current state and the sequence of its last commit (0: none)."""
        held = await self._load(aggregate, subject)
        return held.state, held.seq

    async def known(self, aggregate: Aggregate[S], subject: Subject) -> S:
        """Return an aggregate's state from memory if it is there, possibly a former one."""
        held = self._recall(subject) or await self._load(aggregate, subject)
        state: S = held.state
        return state

    async def _decide(
        self, aggregate: Aggregate[S], subject: Subject, held: _Held[S], command: object
    ) -> tuple[object, ...] | None:
        """Return the decided events, or None if the state turned out to be stale."""
        try:
            events = aggregate.decide(held.state, command)
        except Rejected as verdict:
            if await self._is_current(subject, held):
                kind = UnknownAggregate if isinstance(verdict, Missing) else DomainRejected
                raise kind(verdict.code, verdict.message) from None
            return None
        return events if events or await self._is_current(subject, held) else None

    async def _is_current(self, subject: Subject, held: _Held[Any]) -> bool:
        if await self._log.last_seq(subject) == held.seq:
            return True
        self._forget(subject)
        return False

    def _commit(
        self,
        aggregate: Aggregate[S],
        subject: Subject,
        held: _Held[S],
        command: object,
        ctx: CommandContext,
        events: tuple[object, ...],
    ) -> Commit:
        meta = Meta(
            actor=ctx.actor,
            command=type(command).__name__,
            correlation=ctx.correlation,
            service=self._service,
            causation=ctx.causation,
            after=ctx.after,
        )
        return make_commit(
            ctx.commit_id(str(subject)),
            aggregate.name,
            subject.id,
            held.version + 1,
            meta,
            events,
            ctx.now,
        )

    def _advanced(
        self,
        aggregate: Aggregate[S],
        subject: Subject,
        held: _Held[S],
        commit: Commit,
        events: tuple[object, ...],
        appended: Appended,
    ) -> Executed[S]:
        state = aggregate.fold(held.state, events)
        version, commits = held.version + len(events), held.commits | {commit.id}
        self._keep(subject, _Held(state, appended.seq, version, commits))
        return Executed(state, events, appended.stream, appended.seq, changed=True)

    async def _stored(
        self, aggregate: Aggregate[S], subject: Subject, commit_id: str
    ) -> Executed[S]:
        """Return the outcome of a commit that an earlier try stored."""
        history = await self._log.load(subject)
        held = self._fold(aggregate, subject, history)
        for r in history:
            if r.commit.id == commit_id:
                return Executed(held.state, _typed(r), subject.stream, held.seq, changed=True)
        raise ContractViolation(f"commit {commit_id} of {subject} was stored but is not there")

    async def _load(self, aggregate: Aggregate[S], subject: Subject) -> _Held[S]:
        return self._fold(aggregate, subject, await self._log.load(subject))

    def _fold(
        self, aggregate: Aggregate[S], subject: Subject, history: Sequence[Recorded]
    ) -> _Held[S]:
        state, version, seq = aggregate.initial, 0, 0
        for r in history:
            state = aggregate.fold(state, _typed(r))
            version, seq = version + len(r.commit.events), r.seq
        held = _Held(state, seq, version, frozenset(r.commit.id for r in history))
        if history:  # another caller may let the aggregate begin in another state
            self._keep(subject, held)
        return held

    def _recall(self, subject: Subject) -> _Held[Any] | None:
        held = self._states.get(str(subject))
        if held is not None:
            self._states.move_to_end(str(subject))
        return held

    def _keep(self, subject: Subject, held: _Held[Any]) -> None:
        self._states[str(subject)] = held
        self._states.move_to_end(str(subject))
        while len(self._states) > self._cached:
            self._states.popitem(last=False)

    def _forget(self, subject: Subject) -> None:
        self._states.pop(str(subject), None)


def _typed(recorded: Recorded) -> tuple[object, ...]:
    """Return the events of a commit of this service; () for a foreign message.

    Raises UnreadableHistory for an event that this release cannot decode.
    """
    return tuple(_decoded(recorded, event) for event in recorded.commit.events)


def _decoded(recorded: Recorded, stored: StoredEvent) -> object:
    at = f"{recorded.stream}:{recorded.seq}"
    try:
        event = stored.decode()
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableHistory(f"{at} holds a {stored.type} that cannot be decoded") from error
    if event is None:
        raise UnreadableHistory(
            f"{at} holds {stored.type}, which this release does not know", newer=True
        )
    return event
