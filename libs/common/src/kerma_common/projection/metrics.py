"""Metrics of the loops."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_PER_STREAM = ["service", "projection", "stream"]
_PER_LOOP = ["service", "projection"]

LAG_EVENTS = Gauge("kerma_projection_lag_events", "Commits stored but not yet applied", _PER_STREAM)
LAG_SECONDS = Gauge(
    "kerma_projection_lag_seconds", "Age of the last applied commit while behind", _PER_STREAM
)
BATCH_SIZE = Histogram(
    "kerma_projection_batch_size",
    "Commits per transaction",
    _PER_LOOP,
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
)
QUARANTINED = Gauge("kerma_quarantined", "Aggregates that are not projected", _PER_LOOP)
IGNORED = Counter(
    "kerma_projection_unknown_events_total", "Events of unknown type from other services", _PER_LOOP
)
BARRIER_TIMEOUTS = Counter(
    "kerma_projection_barrier_timeouts_total", "Causal barriers given up", _PER_LOOP
)
TAKEOVERS = Counter("kerma_projection_takeovers_total", "Times leadership was taken", _PER_LOOP)
RETRIES = Counter(
    "kerma_projection_retries_total", "Batches retried after a transient failure", _PER_LOOP
)
