"""The Prometheus registry of the process: modules declare their metrics beside their code."""

from prometheus_client import REGISTRY, Histogram, generate_latest

HTTP_REQUEST_SECONDS = Histogram(
    "http_request_seconds",
    "Time from request to the last byte of the answer",
    ("service", "method", "route", "status"),
    buckets=(0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.5, 1, 2, 5),
)


def render() -> bytes:
    """Return all metrics in the Prometheus text format."""
    return generate_latest(REGISTRY)
