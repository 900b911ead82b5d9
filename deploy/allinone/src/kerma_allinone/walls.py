"""The sandbox of engines on this machine."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from kerma_common.settings import load, private_places
from kerma_runner.worker.settings import WorkerSettings
from kerma_sandbox.measure import Mode, measure

if TYPE_CHECKING:
    from kerma_sandbox.sandbox import Sandbox


def local_sandbox(data: Path) -> Sandbox:
    """Return the sandbox of a worker for ``data`` with this process's settings, whatever its level.

    Raises SettingsError, and SandboxUnavailable where engines could read the data.
    """
    settings = load(WorkerSettings)
    mode = Mode.OFF if settings.sandbox is Mode.OFF else Mode.PREFER
    private = (data, *settings.private, *private_places())
    return measure(Path(tempfile.gettempdir()), mode=mode, private=private)
