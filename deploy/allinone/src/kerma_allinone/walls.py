"""The sandbox of engines on this machine."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from kerma_common.settings import load
from kerma_runner.worker.settings import WorkerSettings
from kerma_sandbox.measure import Mode, measure

if TYPE_CHECKING:
    from kerma_sandbox.sandbox import Sandbox


def local_sandbox() -> Sandbox:
    """Return a worker's sandbox with this process's settings, whatever its level. Raises
    SettingsError.
    """
    off = load(WorkerSettings).sandbox is Mode.OFF
    return measure(Path(tempfile.gettempdir()), mode=Mode.OFF if off else Mode.PREFER)
