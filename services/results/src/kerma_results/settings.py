"""Settings of the results service."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from kerma_common.settings import Settings
from kerma_sandbox.measure import Mode


class ResultsSettings(Settings):
    """Limits of merges and of delivered results."""

    model_config = SettingsConfigDict(env_prefix="KERMA_RESULTS_")

    sandbox: Mode = Mode.PREFER
    """Whether merges must be confined; services of one process take the strictest setting."""
    read_seconds: float = Field(default=180.0, gt=0)
    """Longest time that reading the output of one task and adding it may take."""
    merge_seconds: float = Field(default=3600.0, gt=0)
    """Longest time that a merge may take, without rendering its pages."""
    merge_memory: int = Field(default=8 << 30, ge=1 << 30)
    """Address space of a process that merges, in bytes."""
    unpacked_bytes: int = Field(default=4 << 30, ge=1 << 20)
    """Most bytes that a merge may write: it unpacks the outputs, one at a time."""
    merged_bytes: int = Field(default=1 << 30, gt=0)
    """Most bytes of a job's merged arrays."""
    deliveries_at_once: int = Field(default=4, ge=1, le=64)
    """Bodies of ``POST /results`` that a process reads at a time."""
