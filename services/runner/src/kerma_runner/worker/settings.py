"""Settings of a worker."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from kerma_common.settings import Settings
from kerma_runner.worker.engine_process import Limits


def _processors() -> int:
    return len(os.sched_getaffinity(0))


class WorkerSettings(Settings):
    """One worker process and the engines it runs."""

    model_config = SettingsConfigDict(env_prefix="KERMA_WORKER_")

    resource_class: str = Field(default="pool", pattern=r"^[A-Za-z0-9_-]{1,32}$")
    slots: int = Field(default_factory=_processors, ge=1, le=1024)
    """Engines at a time; as many as the process may use processors."""
    scratch: Path = Path(tempfile.gettempdir()) / "kerma-scratch"
    """Parent of the work directories; several workers may share it."""
    memory_limit: int | None = Field(default=None, gt=0)
    """Address space of an engine process in bytes; none without it."""
    file_limit: int = Field(default=8 << 30, gt=0)
    """Largest file of an engine in bytes."""
    reserve: int = Field(default=256 << 20, ge=0)
    """Bytes that the scratch's file system keeps free: below it, no tasks are taken."""
    nice: int = Field(default=5, ge=0, le=19)
    """How far engines step back behind the services of the same machine."""
    wall_seconds: float = Field(default=24 * 3600.0, gt=0)
    """Longest run of a task."""
    stall_seconds: float = Field(default=600.0, gt=0)
    """An engine that used no processor for this long hangs."""
    grace_seconds: float = Field(default=10.0, ge=0)
    """Between SIGTERM and SIGKILL of an engine."""
    finish_seconds: float = Field(default=0.0, ge=0)
    """How long a worker that is told to stop lets its engines go on before it gives them back."""

    @property
    def limits(self) -> Limits:
        """Resource limits of every engine process."""
        return Limits(address_space=self.memory_limit, file_size=self.file_limit)
