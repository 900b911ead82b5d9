"""Messages between workers and the runner: requests over core NATS, and work tickets.

A worker's id belongs to one process: a restarted worker has another id, so a lease never passes to
a worker that does not know of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from kerma_common.contracts.limits import (
    Amount,
    BlobRef,
    Id,
    Name,
    Number,
    Period,
    Prose,
    Seconds,
    Seed,
)

REGISTER = "rpc.runner.register"
RETIRE = "rpc.runner.retire"
CLAIM = "rpc.runner.claim"
START = "rpc.runner.start"
HEARTBEAT = "rpc.runner.heartbeat"
REPORT = "rpc.runner.report"
BUNDLE = "rpc.runner.bundle"
BUNDLED = frozenset({CLAIM, START, REPORT})
"""Requests that a worker sends in bundles when it has several at once."""

WORK_STREAM = "WORK"
MAX_LEASES = 4096
"""Leases in one message: more than any worker has slots."""
DIED = "DIED"
"""Reason to retire a worker whose process is known to be gone."""


@dataclass(frozen=True, slots=True, order=True)
class Lane:
    """One queue of tickets: tasks for one engine on workers of one resource class.

    A worker pulls tickets only from the lanes of its engines, so none can block a lane with tasks
    that it cannot run.
    """

    resource_class: Name
    engine: Name

    @property
    def subject(self) -> str:
        """The subject of the lane's tickets."""
        return f"work.task.{self.resource_class}.{self.engine}"

    @property
    def consumer(self) -> str:
        """The name of the durable consumer that the workers of the lane share."""
        return f"tasks-{self.resource_class}-{self.engine}"


@dataclass(frozen=True, slots=True)
class Ticket:
    """A hint that a task may be claimed. ``issue`` distinguishes repeated tickets of an attempt."""

    job_id: Id
    index: Number
    attempt: Number
    issue: Amount


@dataclass(frozen=True, slots=True, order=True)
class HeldLease:
    """One lease of one task, as its worker names it."""

    job_id: Id
    index: Number
    lease: Number


Offered = Annotated[dict[Name, Prose], Field(max_length=64)]
"""A value for each of a worker's engines."""


Leases = Annotated[tuple[HeldLease, ...], Field(max_length=MAX_LEASES)]


@dataclass(frozen=True, slots=True)
class Registration:
    """A worker offers slots. See the event ``WorkerRegistered`` for the other fields."""

    worker: Id
    resource_class: Name
    slots: Annotated[int, Field(ge=1, le=1024)]
    engines: Offered
    digests: Offered = field(default_factory=dict)
    substitutes: Offered = field(default_factory=dict)
    sandbox: Annotated[str, Field(pattern=r"^[a-z]{0,32}$")] = ""

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """Return the lanes whose tickets the worker pulls."""
        return tuple(Lane(self.resource_class, engine) for engine in self.engines)


@dataclass(frozen=True, slots=True)
class Registered:
    """Terms of the work: a lease ends this long after the last heartbeat that named it."""

    heartbeat_seconds: Period
    lease_seconds: Period


@dataclass(frozen=True, slots=True)
class Retirement:
    """A worker leaves, or its process is gone.

    For the reason ``DIED``, another worker of the same machine saw that the process is gone; its
    leases then end at once.
    """

    worker: Id
    reason: Prose


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """A worker wants the task of a ticket."""

    worker: Id
    job_id: Id
    index: Number
    attempt: Number


@dataclass(frozen=True, slots=True)
class Granted:
    """The worker holds the task; includes everything needed to run it."""

    held: HeldLease
    attempt: Number
    engine: Name
    input_ref: BlobRef
    primaries: Amount
    seed: Seed


@dataclass(frozen=True, slots=True)
class ClaimReply:
    """If ``granted`` is None, the ticket is void, for the reason in ``verdict``."""

    granted: Granted | None
    verdict: str = "LEASED"


@dataclass(frozen=True, slots=True)
class StartRequest:
    """The engine of a lease has started."""

    worker: Id
    held: HeldLease


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A worker is alive and still holds these leases."""

    worker: Id
    leases: Leases


@dataclass(frozen=True, slots=True)
class HeartbeatReply:
    """The leases to stop: confirm ``cancel``, drop ``stale`` without a report.

    If ``known`` is False, the runner has no record of the worker, which should register again.
    """

    known: bool
    cancel: Leases = ()
    stale: Leases = ()


@dataclass(frozen=True, slots=True)
class Success:
    """The outputs are stored and were readable."""

    output_ref: BlobRef
    log_ref: BlobRef | None
    primaries: Amount
    cpu_seconds: Seconds


@dataclass(frozen=True, slots=True)
class Failure:
    """The attempt failed; ``message`` is for the user, ``code`` is stable."""

    code: Name
    message: Prose
    log_ref: BlobRef | None


@dataclass(frozen=True, slots=True)
class Report:
    """How a lease ended: exactly one of ``success``, ``failure``, ``canceled``, ``released``.

    ``started`` says that the engine ran, in case no request has said so.
    """

    worker: Id
    held: HeldLease
    success: Success | None = None
    failure: Failure | None = None
    canceled: bool = False
    released: bool = False
    started: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a start or a report: ``OK``, or the code of the rule that refused it."""

    code: str = "OK"
    message: str = ""


@dataclass(frozen=True, slots=True)
class StopSignal:
    """Hint to a worker to stop these leases now rather than at the next heartbeat."""

    leases: Leases = ()


def worker_signal(worker: str) -> str:
    """Return the subject of hints to a worker."""
    return f"sig.worker.{worker}"


DISPATCH_SIGNAL = "sig.runner.dispatch"
"""Hint to the dispatcher that there may be tasks to dispatch."""
