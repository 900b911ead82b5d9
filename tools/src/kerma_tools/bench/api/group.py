"""The group ``api``."""

from __future__ import annotations

from collections.abc import Iterable

from kerma_tools.bench.api.deliveries import deliveries
from kerma_tools.bench.figure import Figure


def figures() -> Iterable[Figure]:
    """Measure every figure of the group."""
    yield from deliveries()
