"""Telemetry: last values that are told, not recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerma_common.bus import signals
from kerma_common.contracts.progress import TaskProgress, progress_subject

if TYPE_CHECKING:
    from nats.aio.client import Client


async def tell_progress(client: Client, progress: TaskProgress) -> None:
    """Tell how far a task is; the stream keeps the last word on each task."""
    await signals.send(client, progress_subject(progress.job_id, progress.index), progress)
