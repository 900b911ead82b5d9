"""From stored commits to typed events with their places."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Any

from kerma_common.contracts import registry
from kerma_common.precedence import STEP, give_way
from kerma_common.projection import metrics
from kerma_common.projection.retries.failures import LoopHalted
from kerma_common.projection.router import At

if TYPE_CHECKING:
    from kerma_common.contracts.envelope import Recorded, StoredEvent

_versions: dict[str, int] = {}


def typed_events(
    records: Sequence[Recorded], service: str, name: str, wanted: Container[str] | None = None
) -> list[tuple[Any, At]]:
    """Yield events of the ``wanted`` types (None: all), in order, for the consumer ``name``.

    An unknown type of the same service raises LoopHalted: a newer release wrote it, and skipping it
    would lose it. One of another service is ignored and counted.
    """
    found: list[tuple[Any, At]] = []
    for record in records:
        commit = record.commit
        for stored in commit.events:
            if not _known(stored):
                _unknown(record, stored, service, name)
            elif wanted is None or stored.type in wanted:
                at = At(
                    record.stream,
                    record.seq,
                    stored.id,
                    stored.time,
                    commit.aggregate_id,
                    commit.meta.actor,
                    record.traceparent,
                )
                found.append((stored.decode(), at))
    return found


async def decoded(
    records: Sequence[Recorded], service: str, name: str, wanted: Container[str] | None = None
) -> list[tuple[Any, At]]:
    """Return the ``typed_events`` of a long batch, giving way to requests in between."""
    found: list[tuple[Any, At]] = []
    for start in range(0, len(records), STEP):
        found += typed_events(records[start : start + STEP], service, name, wanted)
        await give_way()
    return found


def _known(stored: StoredEvent) -> bool:
    version = _versions.get(stored.type)
    if version is None:
        # Contexts register their types on import, possibly after the last check.
        _versions.update((kind.name, kind.version) for kind in registry.all_types())
        version = _versions.get(stored.type, 0)
    return stored.version <= version


def _unknown(record: Recorded, stored: StoredEvent, service: str, name: str) -> None:
    if record.subject.split(".")[1] == service:
        raise LoopHalted(
            f"{name}: {stored.type} version {stored.version} at {record.stream}:{record.seq} is"
            " not known to this release; it was written by a newer one"
        )
    metrics.IGNORED.labels(service, name).inc()
