"""Write scoring outputs of a project as scoring meshes, and map pages to scorers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kerma_engines.adapter.port import Output, OutputQuantity
from kerma_engines.errors import Problem
from kerma_engines.geant4.convert.gdml_write import clean, number, zone_volume
from kerma_engines.geant4.convert.mesh_write import (
    MAX_RINGS,
    mesh_commands,
    regrouped,
    rings,
    rings_within,
)
from kerma_engines.geant4.convert.score_filter import (
    Unsupported,
    filter_commands,
    lets_neutrals_through,
)
from kerma_engines.geant4.macro.scoring import MAX_BINS, MAX_OWN_BINS
from kerma_engines.geant4.scorers import neutrals
from kerma_engines.geant4.scorers.grammar import FILTER, QUANTITY
from kerma_engines.geant4.scorers.quantities import AXES, MAPS, TOTALS
from kerma_engines.geant4.transport.result_file import SUFFIX
from kerma_engines.project.scoring import CylinderDetector, Keyword, ZoneDetector

if TYPE_CHECKING:
    from kerma_engines.project.project import Project
    from kerma_engines.project.scoring import Detector, Quantity
    from kerma_engines.project.scoring import Output as ProjectOutput

#: The scorer command of each quantity that has one.
SCORERS = {
    Keyword.DOSE: "doseDeposit {name} Gy",
    Keyword.DOSE_GY: "doseDeposit {name} Gy",
    Keyword.DDD: "doseDeposit {name} Gy",
    Keyword.ENERGY: "energyDeposit {name} MeV",
    Keyword.FLUENCE: "cellFlux {name} percm2",
}


#: Our scorers for quantities that Geant4 lacks.
OWN = {
    Keyword.AVG_ENERGY: "avgEnergy",
    Keyword.AVG_BETA: "avgBeta",
    Keyword.DLET: "dLET",
    Keyword.TLET: "tLET",
    Keyword.DZ2BETA2: "dZ2Beta2",
    Keyword.TZ2BETA2: "tZ2Beta2",
    Keyword.DZEFF2BETA2: "dZeff2Beta2",
    Keyword.TZEFF2BETA2: "tZeff2Beta2",
    Keyword.DQ: "dQ",
    Keyword.TQ: "tQ",
    Keyword.DQEFF: "dQeff",
    Keyword.TQEFF: "tQeff",
    Keyword.DOSE_EQUIVALENT: "doseEqv",
    Keyword.MATERIAL: "material",
    Keyword.ZONE: "zone",
    Keyword.RHO: "density",
}

#: Our scorers for quantities that Geant4 can score, but not over differential axes.
DIFFERENTIAL = {
    Keyword.FLUENCE: "fluence",
    Keyword.ENERGY: "energy",
    Keyword.DOSE: "dose",
    Keyword.DOSE_GY: "dose",
    Keyword.DDD: "dose",
}


@dataclass(frozen=True, slots=True)
class Scoring:
    """Macro lines, output map, and the scorer of each quantity by output."""

    commands: tuple[str, ...]
    outputs: tuple[Output, ...]
    pages: tuple[tuple[dict[str, Any], ...], ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()


#: JSON paths named in a note.
_NAMED = 5
_DOSES = {Keyword.DOSE, Keyword.DOSE_GY, Keyword.DDD, Keyword.DOSE_EQUIVALENT}
_NEUTRONS = "it needs tables of neutron kerma or damage, which Geant4 lacks"
_NOT_SCORED = {
    Keyword.EQV_DOSE: "radiation weighting factors are for what enters a body, not for a point in it",
    Keyword.NEQV_DOSE: _NEUTRONS,
    Keyword.NKERMA: _NEUTRONS,
    Keyword.NEUTRON_EQUIVALENT: _NEUTRONS,
    Keyword.ALANINE: "the efficiencies of alanine for ions are not published as a table",
}


class _Meshes:
    """One mesh per used detector, shared by its outputs; one scorer per distinct quantity."""

    def __init__(self, project: Project, *, full: bool) -> None:
        self.project = project
        self.full = full
        self.problems: list[Problem] = []
        self.names: dict[str, str] = {}
        self.lines: dict[str, list[str]] = {}
        self.scorers: dict[tuple[str, ...], str] = {}
        self.neutral: list[str] = []  # JSON paths of quantities that count neutrons and photons

    def mesh(self, uuid: str) -> str:
        if uuid not in self.names:
            detector = self.project.detector(uuid)
            data = detector.geometry_data
            if isinstance(data, ZoneDetector):
                # Geant4 names such a mesh after the volume in which it scores
                name = zone_volume(self.project, data.parameters.zone_uuid)
            else:
                name = f"mesh_{len(self.names) + 1}_{clean(detector.name)}".rstrip("_")
            self.names[uuid] = name
            self.lines.setdefault(name, mesh_commands(self.project, detector, name))
            self._check(uuid, detector)
        return self.names[uuid]

    def _check(self, uuid: str, detector: Detector) -> None:
        place = f"{self.project.places[uuid]}.geometryData"
        data = detector.geometry_data
        if data.bins > MAX_BINS:
            reason = f"has {data.bins} bins, more than Geant4 scores: {MAX_BINS}"
            self.problems.append(Problem(place, reason))
        if isinstance(data, CylinderDetector) and rings(data.parameters) is None:
            reason = (
                f"inner radius and bins have no common width that is a {MAX_RINGS}th of the radius"
            )
            self.problems.append(Problem(f"{place}.parameters.innerRadius", reason))

    def scorer(self, mesh: str, quantity: Quantity, path: str, detector: Detector) -> str:
        """Return the scorer name of a quantity on a detector; problems are recorded."""
        kind, bins = detector.geometry_data.geometry_type, detector.geometry_data.bins
        self._refuse(quantity, path, everywhere=kind == "All")
        command = self._command(quantity, path, detector)
        own = command.startswith(QUANTITY)
        fine = math.prod(modifier.bins_number for modifier in quantity.modifiers)
        if own and bins * fine > MAX_OWN_BINS:
            reason = f"has {bins * fine} bins, more than such a quantity may have: {MAX_OWN_BINS}"
            self.problems.append(Problem(path, reason))
        filters: tuple[str, ...] = ()
        if quantity.filter and OWN.get(quantity.keyword) not in MAPS:
            try:
                filters = filter_commands(self.project, quantity.filter, full=self.full, own=own)
            except Unsupported as error:
                self.problems.append(Problem(f"{path}.filter", str(error)))
                return ""
        if self.counts_neutrals(quantity):
            self.neutral.append(path)
        if not command:
            return ""
        key = (mesh, command, *filters)
        if key not in self.scorers:
            label = OWN.get(quantity.keyword, quantity.keyword.value)
            name = f"{label}_{len(self.scorers) + 1}"
            self.scorers[key] = name
            self.lines[mesh] += [command.format(name=name), *filters]
        return self.scorers[key]

    def counts_neutrals(self, quantity: Quantity) -> bool:
        """Return whether it counts neutrons or photons, which are too few without data sets."""
        if self.full or quantity.scored is not Keyword.FLUENCE:
            return False
        return lets_neutrals_through(self.project, quantity.filter or "")

    def notes(self) -> tuple[str, ...]:
        """Return notes for users to read before they wait for the run."""
        return (*self._neutral_notes(), *self._slow_notes())

    def _neutral_notes(self) -> tuple[str, ...]:
        if not self.neutral:
            return ()
        first = ", ".join(self.neutral[:_NAMED])
        more = len(self.neutral) - _NAMED
        places = f"{first} and {more} more" if more > 0 else first
        return (f"{places}: fluence {neutrals.NOTE}",)

    def _slow_notes(self) -> tuple[str, ...]:
        slow = sum(
            any(part.startswith((QUANTITY, FILTER)) for part in key) and not _is_map(key)
            for key in self.scorers
        )
        if not slow:
            return ()
        return (
            f"scoringManager.outputs: {slow} of {len(self.scorers)} quantities (averages, spectra, "
            "general filters) are scored in Python: such a run takes about twice as long, on fine "
            "meshes or with many of them longer",
        )

    def _command(self, quantity: Quantity, path: str, detector: Detector) -> str:
        """Return the scorer's command with a placeholder for its name, or "" and record why."""
        kind = detector.geometry_data.geometry_type
        axes = "".join(self._axis(quantity, path, k) for k in range(len(quantity.modifiers)))
        differs = axes or regrouped(detector)
        own = OWN.get(quantity.scored) or (differs and DIFFERENTIAL.get(quantity.scored))
        if own in MAPS:
            self._check_map(quantity, path, kind)
        if own and own in TOTALS and TOTALS[own].per_volume and kind == "Zone":
            reason = "a quantity per volume that is scored in Python needs a mesh with Geant4"
            self.problems.append(Problem(f"{path}.{'modifiers' if axes else 'keyword'}", reason))
        if own:
            return f"{QUANTITY} {own} {{name}}{axes}"
        if quantity.scored in SCORERS:
            return f"/score/quantity/{SCORERS[quantity.scored]}"
        why = _NOT_SCORED.get(quantity.keyword, "it is not known how")
        reason = f"{quantity.keyword.value} is not scored with Geant4: {why}"
        self.problems.append(Problem(f"{path}.keyword", reason))
        return ""

    def _check_map(self, quantity: Quantity, path: str, kind: str) -> None:
        reasons = {
            "keyword": kind in {"Zone", "All"} and "a map of the geometry needs a mesh",
            "filter": quantity.filter and "a map of the geometry has no particles to filter",
            "modifiers": quantity.modifiers and "a map of the geometry has no further axes",
        }
        for key, reason in reasons.items():
            if reason:
                self.problems.append(Problem(f"{path}.{key}", reason))

    def _axis(self, quantity: Quantity, path: str, k: int) -> str:
        modifier = quantity.modifiers[k]
        if modifier.diff_type.value not in AXES:
            reason = f"what {modifier.diff_type.value} measures is not documented; it is not scored"
            self.problems.append(Problem(f"{path}.modifiers[{k}].diffType", reason))
        limits = f"{number(modifier.lower_limit)} {number(modifier.upper_limit)}"
        spacing = "log" if modifier.is_log else "lin"
        return f" {modifier.diff_type.value} {limits} {modifier.bins_number} {spacing}"

    def _refuse(self, quantity: Quantity, path: str, *, everywhere: bool) -> None:
        reasons = {
            "offset": quantity.offset and "an offset can't be used with Geant4",
            "primaries": quantity.primaries and "a fixed number of primaries can't be used",
            "materialUuid": quantity.material_uuid and "dose to another material is not scored",
            "medium": quantity.medium and "dose to another medium is not scored",
        }
        for key, reason in reasons.items():
            if reason:
                self.problems.append(Problem(f"{path}.{key}", reason))
        if everywhere and quantity.keyword in _DOSES:
            reason = "dose can't be averaged over everything; score Energy instead"
            self.problems.append(Problem(f"{path}.keyword", reason))


def _is_map(key: tuple[str, ...]) -> bool:
    return any(part.startswith(f"{QUANTITY} {kind} ") for part in key for kind in MAPS)


def scoring(project: Project, *, full: bool) -> Scoring:
    """Return meshes, scorers and output map of a project."""
    meshes = _Meshes(project, full=full)
    outputs, pages = [], []
    for index, output in enumerate(project.outputs):
        path = f"scoringManager.outputs[{index}]"
        if output.trace:
            reason = "tracks are not written with Geant4"
            meshes.problems.append(Problem(f"{path}.trace", reason))
        mesh = meshes.mesh(output.detector_uuid)
        pages.append(tuple(_pages(meshes, output, mesh, path)))
        outputs.append(_output(project, output, mesh))
    if not project.outputs:
        meshes.problems.append(Problem("scoringManager.outputs", "nothing is scored"))
    lines = [line for body in meshes.lines.values() for line in (*body, "/score/close")]
    problems = tuple(meshes.problems)
    return Scoring(tuple(lines), tuple(outputs), tuple(pages), problems, meshes.notes())


def _pages(meshes: _Meshes, output: ProjectOutput, mesh: str, path: str) -> list[dict[str, Any]]:
    detector = meshes.project.detector(output.detector_uuid)
    inner = rings_within(detector)
    pages = []
    for k, quantity in enumerate(output.quantities):
        place = f"{path}.quantities[{k}]"
        page = {
            "scorer": meshes.scorer(mesh, quantity, place, detector),
            "keyword": quantity.keyword.value,
            "rescale": 1.0 if quantity.rescale is None else quantity.rescale,
            "rings_within": inner,
        }
        if place in meshes.neutral:
            page["note"] = neutrals.NOTE
        pages.append(page)
    return pages


def _output(project: Project, output: ProjectOutput, mesh: str) -> Output:
    labels = project.filter_labels
    quantities = tuple(
        OutputQuantity(
            number=k,
            name=quantity.name,
            keyword=quantity.keyword.value,
            filter_name=labels.get(quantity.filter or "", ""),
        )
        for k, quantity in enumerate(output.quantities)
    )
    return Output(output.uuid, output.name, f"{mesh}{SUFFIX}", quantities)
