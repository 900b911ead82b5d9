"""Outputs as scorers, one CSV file per quantity, on components of parallel worlds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kerma_engines.conversion import Names, map_output
from kerma_engines.geometry import rotation_matrix
from kerma_engines.particles import Species
from kerma_engines.scoring import BoxDetector, CylinderDetector, DiffType, Keyword, RuleKeyword
from kerma_engines.selection import Generation, select
from kerma_engines.topas.geometry import number, position

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kerma_engines.conversion import Verdict
    from kerma_engines.engine import Output as MappedOutput
    from kerma_engines.particles import Particle
    from kerma_engines.project import Project
    from kerma_engines.scoring import Detector, Filter, Modifier, Quantity, Rule

_QUANTITIES = {
    Keyword.DOSE: "DoseToMedium",
    Keyword.DOSE_GY: "DoseToMedium",
    Keyword.ENERGY: "EnergyDeposit",
    Keyword.FLUENCE: "Fluence",
    Keyword.DLET: "ProtonLET",
    Keyword.TLET: "ProtonLET",
}
_SETTINGS = ("rescale", "offset", "primaries", "material_uuid", "medium")
_GENERATIONS = {Generation.PRIMARY: "Primary", Generation.SECONDARY: "Secondary"}
_NUMBERS = {RuleKeyword.Z: "AtomicNumber", RuleKeyword.A: "AtomicMass"}


@dataclass(frozen=True, slots=True)
class Scored:
    """Parameters of all scorers, the output map, and the file of every quantity by output id."""

    lines: tuple[str, ...]
    outputs: tuple[MappedOutput, ...]
    files: dict[str, list[str]]


def scorers(project: Project, verdict: Verdict) -> Scored:
    """Scorers of all outputs; notes problems."""
    names = Names()
    components = {d.uuid: f"Detector{k + 1}" for k, d in enumerate(project.detectors)}
    labels = {known.uuid: known.name for known in project.filters}
    lines: list[str] = []
    outputs: list[MappedOutput] = []
    files: dict[str, list[str]] = {}
    used = {output.detector_uuid for output in project.outputs}
    for k, detector in enumerate(project.detectors):
        if detector.uuid in used:
            path = f"detectorManager.detectors[{k}].geometryData.geometryType"
            lines += _component(components[detector.uuid], detector, path, verdict)
    for k, output in enumerate(project.outputs):
        path = f"scoringManager.outputs[{k}]"
        if output.trace:
            verdict.refuse(f"{path}.trace", "traces of particles can't be read back")
        stems = [names.give(f"{output.name}_{j}", "score") for j in range(len(output.quantities))]
        files[output.uuid] = [f"{stem}.csv" for stem in stems]
        outputs.append(
            map_output(output.uuid, output.name, f"{stems[0]}.csv", output.quantities, labels)
        )
        for j, quantity in enumerate(output.quantities):
            place = f"{path}.quantities[{j}]"
            component = components[output.detector_uuid]
            lines += _scorer(project, quantity, stems[j], component, place, verdict)
    return Scored(tuple(lines), tuple(outputs), files)


def _component(name: str, detector: Detector, path: str, verdict: Verdict) -> Iterator[str]:
    data = detector.geometry_data
    if isinstance(data, BoxDetector):
        box = data.parameters
        yield f's:Ge/{name}/Type = "TsBox"'
        sides = (box.width, box.height, box.depth)
        bins = (box.x_segments, box.y_segments, box.z_segments)
        for axis, side, count in zip("XYZ", sides, bins, strict=True):
            yield f"d:Ge/{name}/HL{axis} = {number(0.5 * side)} cm"
            yield f"i:Ge/{name}/{axis}Bins = {count}"
    elif isinstance(data, CylinderDetector):
        mesh = data.parameters
        yield f's:Ge/{name}/Type = "TsCylinder"'
        yield f"d:Ge/{name}/RMin = {number(mesh.inner_radius)} cm"
        yield f"d:Ge/{name}/RMax = {number(mesh.radius)} cm"
        yield f"d:Ge/{name}/HL = {number(0.5 * mesh.depth)} cm"
        yield f"i:Ge/{name}/RBins = {mesh.radial_segments}"
        yield f"i:Ge/{name}/PhiBins = 1"
        yield f"i:Ge/{name}/ZBins = {mesh.z_segments}"
    else:
        kind = data.geometry_type
        verdict.refuse(path, f"detectors of type {kind} are not supported for TOPAS")
        return
    yield f's:Ge/{name}/Parent = "World"'
    yield f'b:Ge/{name}/IsParallel = "True"'
    yield from position(name, np.asarray(data.position), rotation_matrix(data.rotation))


def _scorer(
    project: Project, quantity: Quantity, stem: str, component: str, path: str, verdict: Verdict
) -> Iterator[str]:
    name = f"Sc/{stem.replace('.', '_')}"
    if quantity.keyword not in _QUANTITIES:
        known = ", ".join(str(keyword) for keyword in _QUANTITIES)
        reason = f"{quantity.keyword} is not supported for TOPAS, only {known}"
        verdict.refuse(f"{path}.keyword", reason)
        return
    for setting in _SETTINGS:
        if getattr(quantity, setting) is not None:
            verdict.refuse(f"{path}.{setting}", "TOPAS has no such setting")
    yield f's:{name}/Quantity = "{_QUANTITIES[quantity.keyword]}"'
    yield f's:{name}/Component = "{component}"'
    yield f'sv:{name}/Report = 2 "Mean" "Standard_Deviation"'
    yield f's:{name}/OutputType = "csv"'
    yield f's:{name}/OutputFile = "{stem}"'
    yield f's:{name}/IfOutputFileAlreadyExists = "Overwrite"'
    chosen = project.filter(quantity.filter) if quantity.filter else None
    if quantity.keyword in (Keyword.DLET, Keyword.TLET):
        weight = "Dose" if quantity.keyword is Keyword.DLET else "Track"
        yield f's:{name}/WeightBy = "{weight}"'
        if chosen is None or not _is_protons(project, chosen):
            verdict.refuse(f"{path}.filter", "TOPAS scores the LET of protons only; filter them")
            return
    if chosen is not None:
        yield from _filter(project, chosen, name, f"{path}.filter", verdict)
    yield from _energy_bins(quantity.modifiers, name, f"{path}.modifiers", verdict)


def _is_protons(project: Project, chosen: Filter) -> bool:
    particle = select(project, chosen).particle
    return particle is not None and particle.species is Species.PROTON


def _filter(
    project: Project, chosen: Filter, name: str, path: str, verdict: Verdict
) -> Iterator[str]:
    selection = select(project, chosen)
    if selection.particle is not None:
        yield f'sv:{name}/OnlyIncludeParticlesNamed = 1 "{particle_name(selection.particle)}"'
    if selection.generation is not Generation.ANY:
        generation = _GENERATIONS[selection.generation]
        yield f's:{name}/OnlyIncludeParticlesOfGeneration = "{generation}"'
    seen: set[str] = set()
    for index in selection.others:
        rule = chosen.rules[index]
        test = _number_test(rule)
        if test is None or test in seen:
            reason = (
                f"rule {index} ({rule.keyword} {rule.operator} {rule.value:g}) is not one of TOPAS"
            )
            verdict.refuse(path, reason)
            continue
        seen.add(test)
        yield f"i:{name}/OnlyIncludeParticles{test} = {int(rule.value)}"


def _number_test(rule: Rule) -> str | None:
    what = _NUMBERS.get(rule.keyword)
    if what is None or not rule.value.is_integer():
        return None
    return {"==": f"Of{what}", "!=": f"NotOf{what}"}.get(rule.operator)


def _energy_bins(
    modifiers: tuple[Modifier, ...], name: str, path: str, verdict: Verdict
) -> Iterator[str]:
    if not modifiers:
        return
    modifier = modifiers[0]
    if len(modifiers) > 1 or modifier.diff_type is not DiffType.E or modifier.is_log:
        reason = "TOPAS bins by energy (E) only, linearly, and by one quantity"
        verdict.refuse(path, reason)
        return
    yield f"i:{name}/EBins = {modifier.bins_number}"
    yield f"d:{name}/EBinMin = {number(modifier.lower_limit)} MeV"
    yield f"d:{name}/EBinMax = {number(modifier.upper_limit)} MeV"
    yield f's:{name}/EBinEnergy = "PreStep"'


def particle_name(particle: Particle) -> str:
    """TOPAS's name of a particle."""
    if particle.species is Species.ION:
        return f"GenericIon({particle.z},{particle.a})"
    return particle.kind.geant4
