"""The group ``api``."""

from __future__ import annotations

from collections.abc import Iterable

from kerma_tools.bench.api.deliveries import deliveries
from kerma_tools.bench.figure import Figure
from kerma_tools.bench.whole.reports import reports


def figures() -> Iterable[Figure]:
    """Measure every figure of the group."""
    yield from reports()
    yield from deliveries()
