"""Telemetry: last values that are told, not recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerma_common.bus import signals
from kerma_common.contracts.progress import TaskProgress, progress_subject

if TYPE_CHECKING:
    from kerma_common.bus.faststream import EdgeBroker


async def tell_progress(broker: EdgeBroker, progress: TaskProgress) -> None:
    """Tell how far a task is; the stream keeps the last word on each task."""
    await signals.send(broker, progress_subject(progress.job_id, progress.index), progress)
