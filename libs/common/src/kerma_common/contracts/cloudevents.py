"""A stored event as a CloudEvent (CNCF specification 1.0, JSON format), for the public edges.

The log stores commits: CloudEvents over NATS have no batches, and the events of one decision must
stay together.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kerma_common.contracts.envelope import Recorded, StoredEvent


def to_cloudevent(recorded: Recorded, event: StoredEvent) -> dict[str, Any]:
    """Return the event with its log position as ``sequence``, and actor and cause as extensions."""
    context = recorded.subject.split(".")[1]
    meta = recorded.commit.meta
    extensions = {
        "traceparent": recorded.traceparent,
        "causation": meta.causation,
    }
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": f"/kerma/{context}",
        "type": f"kerma.{context}.{event.type}.v{event.version}",
        "subject": recorded.commit.aggregate_id,
        "time": event.time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "sequence": f"{recorded.stream}:{recorded.seq}",
        "actor": meta.actor,
        "correlation": meta.correlation,
        **{name: value for name, value in extensions.items() if value is not None},
        "data": dict(event.data),
    }
