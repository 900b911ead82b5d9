"""A worker's registration: what it offers. Heartbeats, not events, show whether it is alive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

from kerma_common.contracts.events import runner as ev
from kerma_common.domain import Aggregate


@dataclass(frozen=True, slots=True)
class Worker:
    """State of a worker; ``slots`` is 0 when it has never registered or has retired."""

    resource_class: str = ""
    slots: int = 0
    engines: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    substitutes: Mapping[str, str] = field(default_factory=dict)
    sandbox: str = ""


@dataclass(frozen=True, slots=True)
class Register:
    """Register a worker with its slots."""

    worker: str
    resource_class: str
    slots: int
    engines: Mapping[str, str]
    digests: Mapping[str, str] = field(default_factory=dict)
    substitutes: Mapping[str, str] = field(default_factory=dict)
    sandbox: str = ""


@dataclass(frozen=True, slots=True)
class Retire:
    """Retire a worker."""

    worker: str
    reason: str


Command = Register | Retire
WorkerEvent = ev.WorkerRegistered | ev.WorkerRetired
"""Every event of a worker."""


def decide(state: Worker, command: object) -> tuple[object, ...]:
    """Return the events that follow from ``command``; repeating a command changes nothing."""
    if not isinstance(command, Command):
        raise TypeError(f"a worker knows no {type(command).__name__}")
    match command:
        case Register():
            offered = ev.WorkerRegistered(
                worker=command.worker,
                resource_class=command.resource_class,
                slots=command.slots,
                engines=dict(command.engines),
                digests=dict(command.digests),
                substitutes=dict(command.substitutes),
                sandbox=command.sandbox,
            )
            return () if evolve(state, offered) == state else (offered,)
        case Retire():
            if state.slots == 0:
                return ()
            return (ev.WorkerRetired(worker=command.worker, reason=command.reason),)
        case _:
            assert_never(command)


def evolve(state: Worker, event: object) -> Worker:
    """Return the state after an event; defined for every stored event."""
    if not isinstance(event, WorkerEvent):
        return state
    match event:
        case ev.WorkerRegistered():
            return Worker(
                event.resource_class,
                event.slots,
                dict(event.engines),
                dict(event.digests),
                dict(event.substitutes),
                event.sandbox,
            )
        case ev.WorkerRetired():
            return replace(state, slots=0)
        case _:
            assert_never(event)


WORKER: Aggregate[Worker] = Aggregate("runner", "worker", Worker(), decide, evolve)
