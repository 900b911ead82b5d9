"""Convert an editor project to a parameter file of TOPAS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from kerma_engines.adapter.conversion import Verdict, check_common, check_layout, one_line
from kerma_engines.adapter.port import InputSet
from kerma_engines.topas.convert.beam import beam_lines, check_beam, physics_lines
from kerma_engines.topas.convert.geometry import Components
from kerma_engines.topas.convert.scoring import scorers

if TYPE_CHECKING:
    from kerma_engines.project.project import Project

PARAMETER_FILE = "topas.txt"
_REPORTS = 100  # lines of progress in a run


def convert(project: Project) -> InputSet:
    """Return the input files and output map. Raises InvalidInput with every problem found."""
    verdict = Verdict()
    check_common(project, verdict, "TOPAS")
    check_beam(project, verdict)
    layout = check_layout(project, verdict, "TOPAS")
    components = Components(project, layout, verdict) if layout is not None else None
    placed = components.lines() if components is not None else []
    scored = scorers(project, components if placed else None, verdict)
    verdict.close()
    primaries = project.beam.number_of_particles
    lines = [
        f"# {one_line(project.title, 100)}",
        *(f"# {one_line(note, 200)}" for note in verdict.notes),
        "i:Ts/Seed = 1",
        "i:Ts/NumberOfThreads = 1",
        f"i:Ts/ShowHistoryCountAtInterval = {max(1, primaries // _REPORTS)}",
        'b:Ts/PauseBeforeQuit = "False"',
        *physics_lines(project),
        *placed,
        *beam_lines(project),
        *scored.lines,
    ]
    info = orjson.dumps({"label": "", "simulator": "topas", "version": ""}).decode()
    return InputSet(
        "topas",
        {"info.json": info, PARAMETER_FILE: "\n".join(lines) + "\n"},
        primaries,
        scored.outputs,
        {"notes": list(verdict.notes), "files": scored.files},
    )
