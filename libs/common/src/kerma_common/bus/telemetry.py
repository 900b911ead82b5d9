"""Telemetry: current values that are published but not recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerma_common.bus import signals
from kerma_common.contracts.progress import TaskProgress, progress_subject

if TYPE_CHECKING:
    from kerma_common.bus.faststream import EdgeBroker


async def publish_progress(broker: EdgeBroker, progress: TaskProgress) -> None:
    """Publish the progress of a task; the stream keeps the last message of each task."""
    await signals.send(broker, progress_subject(progress.job_id, progress.index), progress)
