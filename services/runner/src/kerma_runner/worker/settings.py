"""Settings of a worker."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from kerma_common.settings import Settings
from kerma_sandbox.confinement import Limits
from kerma_sandbox.measure import Mode


def _processors() -> int:
    return len(os.sched_getaffinity(0))


class WorkerSettings(Settings):
    """Settings of one worker process and of the engines it runs."""

    model_config = SettingsConfigDict(env_prefix="KERMA_WORKER_")

    resource_class: str = Field(default="pool", pattern=r"^[A-Za-z0-9_-]{1,32}$")
    slots: int = Field(default_factory=_processors, ge=1, le=1024)
    """Engines that run at a time; by default the number of processors the process may use."""
    scratch: Path = Path(tempfile.gettempdir()) / "kerma-scratch"
    """Parent of the work folders; several workers may share it."""
    task_bytes: int = Field(default=16 << 30, gt=0)
    """Bytes of disk that a task's work folder may take."""
    task_files: int = Field(default=10_000, gt=0, le=1_000_000)
    """Files and folders that a task's work folder may hold."""
    output_bytes: int = Field(default=2 << 30, gt=0)
    """Total bytes of a task's result files."""
    prepare_seconds: float = Field(default=60.0, gt=0)
    """Longest time that preparing a task's files may take."""
    read_memory: int = Field(default=4 << 30, ge=1 << 30)
    """Address space of a process that prepares a task or checks its results, in bytes."""
    read_seconds: float = Field(default=180.0, gt=0)
    """Longest time that checking a task's results may take."""
    reserve: int = Field(default=256 << 20, ge=0)
    """Free bytes to keep on the scratch's file system: below it, the worker takes no tasks."""
    sandbox: Mode = Mode.PREFER
    """Whether a worker starts where nothing confines engines."""
    private: Annotated[tuple[Path, ...], NoDecode] = ()
    """Files and folders that no engine may read, separated by colons, besides the secrets, the blobs
    and other tasks."""
    task_memory: int = Field(default=4 << 30, gt=0)
    """Resident memory of a task's processes together, in bytes."""
    task_address_space: int = Field(default=16 << 30, gt=0)
    """Address space of each process of a task, in bytes."""
    task_cpu_seconds: float = Field(default=48 * 3600.0, gt=0)
    """Processor time of a task's processes together."""
    task_processes: int = Field(default=64, gt=0)
    """Processes of a task at a time."""
    task_threads: int = Field(default=512, gt=0)
    """Threads of a task's processes together."""
    task_open_files: int = Field(default=1024, ge=16)
    """Open files of each process of a task."""
    task_file_size: int = Field(default=8 << 30, gt=0)
    """Largest file of a task, in bytes."""
    nice: int = Field(default=5, ge=0, le=19)
    """Niceness of engines, which gives way to the services of the same machine."""
    wall_seconds: float = Field(default=24 * 3600.0, gt=0)
    """Longest run of a task."""
    stall_seconds: float = Field(default=600.0, gt=0)
    """An engine that uses no processor time for this long is taken as hung."""
    grace_seconds: float = Field(default=10.0, ge=0)
    """Between SIGTERM and SIGKILL of an engine."""
    finish_seconds: float = Field(default=0.0, ge=0)
    """How long a stopping worker lets its engines run before it hands their tasks back."""

    @field_validator("private", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(filter(None, value.split(os.pathsep))) if isinstance(value, str) else value

    @property
    def limits(self) -> Limits:
        """Return the limits of every task."""
        return Limits(
            memory=self.task_memory,
            address_space=self.task_address_space,
            cpu_seconds=self.task_cpu_seconds,
            processes=self.task_processes,
            threads=self.task_threads,
            open_files=self.task_open_files,
            file_size=self.task_file_size,
        )
