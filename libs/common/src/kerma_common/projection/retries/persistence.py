"""Retrying transient failures, and tracking how long something has failed or stood still."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from kerma_common.projection import metrics
from kerma_common.projection.retries.failures import delays, is_transient, pause
from kerma_common.projection.retries.progress import Progress

T = TypeVar("T")
_log = logging.getLogger(__name__)

UNREADY_SECONDS = 30.0
"""Seconds of failing after which the process is unready."""


@dataclass(slots=True)
class Persistence:
    """The retries of one loop; ``service`` and ``name`` label its log lines and metrics."""

    service: str
    name: str
    progress: Progress = field(default_factory=Progress)
    _failing: dict[object, tuple[float, str]] = field(default_factory=dict, init=False)

    @property
    def fault(self) -> str | None:
        """Return what has been failing for longer than ``UNREADY_SECONDS``, or is stuck."""
        now = time.monotonic()
        for since, error in self._failing.values():
            if now - since >= UNREADY_SECONDS:
                return f"failing for {now - since:.0f} s: {error}"
        return self.progress.fault

    @property
    def ready(self) -> bool:
        """False while there is such a fault."""
        return self.fault is None

    async def persist(self, action: Callable[[], Awaitable[T]]) -> T:
        """Return the result of ``action``, retried for as long as its failures are transient."""
        waits = delays()
        while True:
            try:
                result = await action()
            except Exception as error:
                self.failed(action, error)
                await pause(waits)
            else:
                self.recovered(action)
                return result

    def failed(self, what: object, error: Exception) -> None:
        """Note a transient failure; raise any other again."""
        if not is_transient(error):
            self.recovered(what)
            raise error
        since, _ = self._failing.get(what, (time.monotonic(), ""))
        self._failing[what] = (since, type(error).__name__)
        _log.warning("%s: %s: %s", self.name, type(error).__name__, error)
        metrics.RETRIES.labels(self.service, self.name).inc()

    def forget(self) -> None:
        """Drop what is noted about something that has ended, such as a leadership."""
        self._failing.clear()
        self.progress.forget()

    def recovered(self, what: object) -> None:
        """Note that something works again."""
        self._failing.pop(what, None)
