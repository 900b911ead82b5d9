"""Outputs as USRBIN and AUXSCORE cards: one unit per output, one pair of cards per quantity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerma_engines.conversion import Names, map_output
from kerma_engines.fluka.cards import card
from kerma_engines.particles import Species
from kerma_engines.scoring import BoxDetector, CylinderDetector, Keyword
from kerma_engines.selection import Generation, select

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kerma_engines.conversion import Verdict
    from kerma_engines.engine import Output as MappedOutput
    from kerma_engines.project import Project
    from kerma_engines.scoring import Quantity

FIRST_UNIT = 21
_LAST_UNIT = 99

_DOSE = (Keyword.DOSE, Keyword.DOSE_GY)
_SETTINGS = ("rescale", "offset", "primaries", "material_uuid", "medium")


def scoring_cards(project: Project, verdict: Verdict) -> tuple[list[str], tuple[MappedOutput, ...]]:
    """Cards and output map; the file of an output is the number of its unit."""
    if len(project.outputs) > _LAST_UNIT - FIRST_UNIT + 1:
        reason = f"FLUKA has units for {_LAST_UNIT - FIRST_UNIT + 1} outputs"
        verdict.refuse("scoringManager.outputs", reason)
    names = Names(longest=8)
    labels = {known.uuid: known.name for known in project.filters}
    cards: list[str] = []
    outputs: list[MappedOutput] = []
    for k, output in enumerate(project.outputs):
        unit = FIRST_UNIT + k
        outputs.append(map_output(output.uuid, output.name, str(unit), output.quantities, labels))
        path = f"scoringManager.outputs[{k}]"
        if output.trace:
            verdict.refuse(f"{path}.trace", "FLUKA does not trace particles into results")
        mesh = _mesh(project, output.detector_uuid, path, verdict)
        for j, quantity in enumerate(output.quantities):
            name = names.give(quantity.name or str(quantity.keyword), "score")
            place = f"{path}.quantities[{j}]"
            scored, only = _scored(project, quantity, place, verdict)
            if mesh is not None:
                cards += _pair(mesh, scored, unit, name)
            if only is not None:
                cards.append(card("AUXSCORE", ["USRBIN", only, None, name, name]))
    return cards, tuple(outputs)


class _Mesh:
    """Both halves of a USRBIN: upper limits, then lower limits and bins."""

    def __init__(self, kind: float, upper: list[float], lower: list[float]) -> None:
        self.kind = kind
        self.upper = upper
        self.lower = lower


def _pair(mesh: _Mesh, scored: str, unit: int, name: str) -> Iterator[str]:
    yield card("USRBIN", [mesh.kind, scored, -unit, *mesh.upper], name)
    yield card("USRBIN", mesh.lower, "&")


def _mesh(project: Project, uuid: str, path: str, verdict: Verdict) -> _Mesh | None:
    data = project.detector(uuid).geometry_data
    if any(data.rotation):
        verdict.refuse(f"{path}.detectorUuid", "FLUKA's detectors can't be turned")
    x, y, z = data.position
    if isinstance(data, BoxDetector):
        box = data.parameters
        half = (0.5 * box.width, 0.5 * box.height, 0.5 * box.depth)
        bins: list[float] = [box.x_segments, box.y_segments, box.z_segments]
        low = [_tidy(c - h) for c, h in zip((x, y, z), half, strict=True)]
        high = [_tidy(c + h) for c, h in zip((x, y, z), half, strict=True)]
        return _Mesh(10.0, high, [*low, *bins])
    if isinstance(data, CylinderDetector):
        # the axis of an R-Phi-Z mesh stands where a Cartesian one has limits of y and x
        mesh = data.parameters
        high = [mesh.radius, y, _tidy(z + 0.5 * mesh.depth)]
        low = [mesh.inner_radius, x, _tidy(z - 0.5 * mesh.depth)]
        return _Mesh(11.0, high, [*low, mesh.radial_segments, 1, mesh.z_segments])
    kind = data.geometry_type
    verdict.refuse(f"{path}.detectorUuid", f"detectors of type {kind} are not supported for FLUKA")
    return None


def _tidy(value: float) -> float:
    return round(value, 9)


def _scored(
    project: Project, quantity: Quantity, path: str, verdict: Verdict
) -> tuple[str, str | None]:
    """What USRBIN scores, and the particle that AUXSCORE restricts it to."""
    if quantity.modifiers:
        verdict.refuse(f"{path}.modifiers", "differential scoring is not supported for FLUKA")
    for setting in _SETTINGS:
        if getattr(quantity, setting) is not None:
            verdict.refuse(f"{path}.{setting}", "FLUKA has no such setting")
    only = _particle(project, quantity, path, verdict)
    if quantity.scored is Keyword.FLUENCE:
        return only or "ALL-PART", None
    if quantity.keyword not in _DOSE:
        reason = f"{quantity.keyword} is not supported for FLUKA, only Dose and Fluence"
        verdict.refuse(f"{path}.keyword", reason)
    return "DOSE", only


def _particle(project: Project, quantity: Quantity, path: str, verdict: Verdict) -> str | None:
    if not quantity.filter:
        return None
    chosen = select(project, project.filter(quantity.filter))
    if chosen.others or chosen.generation is not Generation.ANY:
        reason = "FLUKA filters by one kind of particle only, not by generation, energy or ranges"
        verdict.refuse(f"{path}.filter", reason)
        return None
    if chosen.particle is None:
        return None
    if chosen.particle.species is Species.ION:
        reason = "FLUKA's filters for single isotopes heavier than helium are not supported"
        verdict.refuse(f"{path}.filter", reason)
        return None
    return chosen.particle.kind.fluka
