"""Prometheus metrics of every process; `render` is the body of the metrics route."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_FAST = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.5, 1, 2, 5)

registry = CollectorRegistry()

http_request_seconds = Histogram(
    "kerma_http_request_seconds",
    "Time from request to the last byte of the answer",
    ("service", "method", "route", "status"),
    buckets=_FAST,
    registry=registry,
)
append_seconds = Histogram(
    "kerma_append_seconds",
    "Time of an append to the event log",
    ("ctx", "result"),
    buckets=_FAST,
    registry=registry,
)
occ_conflicts_total = Counter(
    "kerma_occ_conflicts",
    "Commits that lost against another one of the same aggregate",
    ("ctx",),
    registry=registry,
)
outcome_unknown_total = Counter(
    "kerma_outcome_unknown",
    "Appends of which nobody knows whether they were stored",
    ("ctx",),
    registry=registry,
)
projection_lag_events = Gauge(
    "kerma_projection_lag_events",
    "Commits a projection is behind its stream",
    ("service", "stream"),
    registry=registry,
)
projection_batch_size = Histogram(
    "kerma_projection_batch_size",
    "Commits a projection stores in one transaction",
    ("service",),
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
    registry=registry,
)
quarantined = Gauge(
    "kerma_quarantined",
    "Aggregates whose events a projection could not apply",
    ("service",),
    registry=registry,
)
ryw_wait_seconds = Histogram(
    "kerma_ryw_wait_seconds",
    "Time a command waits for its own projection",
    ("service",),
    buckets=_FAST,
    registry=registry,
)
ryw_timeouts_total = Counter(
    "kerma_ryw_timeouts",
    "Commands answered before their projection was seen",
    ("service",),
    registry=registry,
)


def render() -> bytes:
    """All metrics in the Prometheus text format."""
    return generate_latest(registry)
