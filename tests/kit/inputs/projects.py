"""Editor projects that tests submit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import kerma_client

DEMO = Path(kerma_client.__file__).parent / "data" / "demo-project.json"


def demo_project(primaries: int = 20_000) -> dict[str, Any]:
    """Return the bundled project with this many primaries."""
    project: dict[str, Any] = json.loads(DEMO.read_text())
    project["beam"]["numberOfParticles"] = primaries
    return project


def submission(primaries: int = 1000, tasks: int = 4, **changes: Any) -> dict[str, Any]:
    """Return a submit body of the bundled project."""
    return {
        "sim_type": "geant4",
        "ntasks": tasks,
        "input_type": "editor",
        "input_json": demo_project(primaries),
        "title": "test job",
        **changes,
    }
