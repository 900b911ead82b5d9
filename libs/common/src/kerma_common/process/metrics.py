"""Metrics of process managers."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

_LABELS = ["service", "process"]

OUTBOX_AGE = Gauge(
    "kerma_pm_outbox_age", "Seconds that the oldest command has waited for its execution", _LABELS
)
REJECTED = Counter(
    "kerma_pm_rejected_total", "Commands that the domain had become deaf to", _LABELS
)
PARKED = Counter("kerma_pm_parked_total", "Commands and timers parked because of a fault", _LABELS)
