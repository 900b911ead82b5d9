"""Latency of a submission: POST to 202, after which every GET shows the job."""

from __future__ import annotations

from collections.abc import Iterable

from kerma_client.demo import PROJECT
from kerma_client.submission import submit_body
from kerma_tools.bench.figure import Figure
from kerma_tools.bench.platform import platform, quantile, timed
from kerma_tools.bench.run import limit
from kerma_tools.bench.whole.clients.wire import direct, post

# the bench submits hundreds of jobs within seconds, more than quotas allow
UNLIMITED = {
    "KERMA_JOBS_QUOTAS": '{"default": {"active_jobs": 100000, "submissions_per_minute": 100000}}'
}
WARM, SUBMITTED = 20, 300


def request_latencies() -> Iterable[Figure]:
    """Measure submit and see."""
    with platform(slots=0, settings=UNLIMITED) as found:
        body = submit_body(PROJECT, tasks=1, primaries=1000, engine="geant4")
        body["wait_for_engine"] = True

        def submit_and_see() -> None:
            found.client.status(found.client.submit(body))

        timed(submit_and_see, WARM)
        times = post(found, "/jobs/direct", direct(body), SUBMITTED)
        name = "POST job to 202 with the job visible to GET"
        yield limit(f"{name}, p50", quantile(times, 0.5), "ms", 25.0)
        yield limit(f"{name}, p99", quantile(times, 0.99), "ms", 80.0)
