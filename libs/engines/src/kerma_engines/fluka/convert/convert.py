"""Convert an editor project to an input file of FLUKA."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from kerma_engines.adapter.conversion import (
    Verdict,
    check_common,
    check_layout,
    check_start,
    one_line,
)
from kerma_engines.adapter.port import InputSet
from kerma_engines.fluka.convert.beam import beam_cards, check_beam
from kerma_engines.fluka.convert.cards import card
from kerma_engines.fluka.convert.geometry import assignments, geometry_cards
from kerma_engines.fluka.convert.materials import Materials
from kerma_engines.fluka.convert.scoring import scoring_cards

if TYPE_CHECKING:
    from kerma_engines.project.project import Project

INPUT_FILE = "fl_sim.inp"
_SEED = 137  # the seed that a user sees; every task gets its own


def convert(project: Project) -> InputSet:
    """Return the input files and output map. Raises InvalidInput with every problem found."""
    verdict = Verdict()
    check_common(project, verdict, "FLUKA", families=True)
    check_beam(project, verdict)
    check_start(project, verdict)
    layout = check_layout(project, verdict, "FLUKA")
    scoring = scoring_cards(project, layout, verdict)
    if layout is None:
        verdict.close()
    assert layout is not None
    materials = Materials(verdict)
    regions = assignments(project, layout, materials)
    verdict.close()
    lines = [
        "TITLE",
        one_line(project.title, 80).lstrip("*# ") or "project",
        *(f"* {one_line(note, 100)}" for note in verdict.notes),
        card("DEFAULTS", [], "HADROTHE"),
        *beam_cards(project),
        *geometry_cards(project, layout),
        *materials.cards,
        *regions,
        *scoring.cards,
        card("RANDOMIZ", [None, _SEED]),
        card("START", [project.beam.number_of_particles]),
        "STOP",
    ]
    info = orjson.dumps({"label": "", "simulator": "fluka", "version": ""}).decode()
    return InputSet(
        "fluka",
        {"info.json": info, INPUT_FILE: "\n".join(lines) + "\n"},
        project.beam.number_of_particles,
        tuple(scoring.outputs),
        {"notes": list(verdict.notes), "pages": scoring.pages},
    )
