"""Settings of the runner service."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from kerma_common.settings import Settings
from kerma_runner.app.claims import Terms


class RunnerSettings(Settings):
    """Lengths of leases and shares of users."""

    model_config = SettingsConfigDict(env_prefix="KERMA_RUNNER_")

    lease_seconds: float = Field(default=45.0, gt=0)
    """A worker that is silent for this long loses its tasks."""
    heartbeat_seconds: float = Field(default=9.0, gt=0)
    weights: dict[str, int] = Field(default_factory=dict)
    """Tasks per round by user id, as JSON; 1 for everyone else."""

    @property
    def terms(self) -> Terms:
        """Return the terms that workers get."""
        return Terms(
            timedelta(seconds=self.lease_seconds), timedelta(seconds=self.heartbeat_seconds)
        )
