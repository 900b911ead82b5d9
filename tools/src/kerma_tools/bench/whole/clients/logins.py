"""Logins: how long one takes, and how long others wait while many log in."""

from __future__ import annotations

from collections.abc import Iterable

from kerma_client.demo import PROJECT
from kerma_client.submission import submit_body
from kerma_tools.bench.figure import Figure
from kerma_tools.bench.platform import platform, quantile, timed
from kerma_tools.bench.run import limit
from kerma_tools.bench.whole.clients.wire import get
from kerma_tools.bench.whole.neighbours.attacks import ACCOUNT
from kerma_tools.bench.whole.neighbours.walls import attacked

AT_ONCE, TIMES, READ = 16, 30, 2000


def logins() -> Iterable[Figure]:
    """Measure a login alone, and status requests while 16 clients log in again and again."""
    with platform(slots=0) as found:
        found.client.register(**ACCOUNT)
        times = timed(lambda: found.client.login(**ACCOUNT), TIMES)
        yield limit("login, p50", quantile(times, 0.5), "ms", 40.0)
    with platform(slots=0) as found:
        body = submit_body(PROJECT, tasks=10, primaries=1000, engine="geant4")
        path = f"/jobs?job_id={found.client.submit({**body, 'wait_for_engine': True})}"
        with attacked("logins", found.running.url, AT_ONCE):
            times = get(found, path, READ)
        yield limit(f"status during {AT_ONCE} logins, p99", quantile(times, 0.99), "ms", 20.0)
