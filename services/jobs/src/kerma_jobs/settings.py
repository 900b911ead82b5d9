"""Settings of the jobs service."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from kerma_common.settings import Settings
from kerma_jobs.app.patience import Patience
from kerma_jobs.app.submission import JOB_BINS, JOB_BYTES
from kerma_jobs.domain.quotas import Quotas
from kerma_sandbox.measure import Mode


class JobsSettings(Settings):
    """Quotas and the converter."""

    model_config = SettingsConfigDict(env_prefix="KERMA_JOBS_")

    quotas: dict[str, Quotas] = Field(default_factory=dict)
    """Quotas by role as JSON; ``default`` is for users without one of these roles."""
    job_bins: int = Field(default=JOB_BINS, gt=0)
    """Most bins a job may have: bins of all scorers times tasks."""
    job_bytes: int = Field(default=JOB_BYTES, gt=0)
    """Most bytes that the outputs and logs of a job's tasks may have; then the job fails."""
    idempotency_hours: float = Field(default=24.0, gt=0, le=24 * 366)
    """How long an Idempotency-Key stands for its job."""
    idempotency_keys: int = Field(default=20_000, gt=0)
    """Most keys of a user at a time."""
    results_hours: float = Field(default=24.0, gt=0, le=24 * 366)
    """How long a job on a cluster waits for its results once its tasks have ended."""
    silence_hours: float = Field(default=168.0, gt=0, le=24 * 366)
    """How long a job on a cluster goes on without a report before its tasks have ended."""
    streams: int = Field(default=500, ge=0)
    """Most open streams of live updates of a process; each takes one of its connections."""
    streams_per_user: int = Field(default=20, ge=0)
    """Most open streams of one user in a process."""
    sandbox: Mode = Mode.PREFER
    """Whether conversions must be confined."""

    @property
    def patience(self) -> Patience:
        """How long a job on a cluster may stay without news."""
        return Patience(timedelta(hours=self.results_hours), timedelta(hours=self.silence_hours))

    @field_validator("quotas")
    @classmethod
    def _not_negative(cls, quotas: dict[str, Quotas]) -> dict[str, Quotas]:
        for role, granted in quotas.items():
            values: list[Any] = [getattr(granted, name) for name in Quotas.__slots__]
            if min(values) < 0:
                raise ValueError(f"{role}: a quota is not negative")
        return quotas
