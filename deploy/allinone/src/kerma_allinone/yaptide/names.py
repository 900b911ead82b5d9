"""What early revisions of YAPTIDE's schema lack, by the rules of its own migrations."""

from __future__ import annotations

from typing import Any


def estimator_name(stored: str, place: int, sim_type: str, project: object) -> str:
    """Return the name of a job's estimator at a place, where rows have only names of files.

    FLUKA names its files by numbers, in the order of the project's outputs.
    """
    if sim_type.lower() == "fluka" and (outputs := _outputs(project)):
        if place < len(outputs) and isinstance(name := outputs[place].get("name"), str):
            return name
        return stored
    return stored.rstrip("_")


def _outputs(project: object) -> list[dict[str, Any]]:
    scoring = project.get("scoringManager") if isinstance(project, dict) else None
    outputs = scoring.get("outputs") if isinstance(scoring, dict) else None
    return [o for o in outputs if isinstance(o, dict)] if isinstance(outputs, list) else []
