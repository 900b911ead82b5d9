"""The editor's project as data: beam, figures, zones, materials, detectors, filters, outputs.

All versions of the editor's JSON known so far are accepted: a missing ``energyUnit`` means MeV,
filters hold either rules or a particle, materials may lack ``sanitizedName``, and unknown keys are
ignored. Lengths are cm, angles degrees, energies in the beam's unit, densities g/cm3.
``parse_project`` reports all problems at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kerma_engines.errors import InvalidInput, Problem
from kerma_engines.fields import MAX_BINS, Model, Name
from kerma_engines.geometry.figures import Figure
from kerma_engines.physics.particles import (
    Particle,
    ParticleRef,
    Species,
    UnknownParticle,
    resolve_particle,
)
from kerma_engines.project.collect import Collector, M
from kerma_engines.project.nested import DrawnFigure, Tree, is_tree, read_tree
from kerma_engines.project.scoring import Detector, Filter, Output, Quantity, filter_labels
from kerma_engines.project.source import (
    Beam,
    Material,
    Modulator,
    Physics,
    World,
    Zone,
    ZoneMaterial,
)
from kerma_engines.project.usage import drop_unused
from kerma_engines.project.worlds import around, is_unsized, margin_of

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Header(Model):
    title: str = ""
    description: str = ""
    simulator: Name = ""


@dataclass(frozen=True, slots=True)
class Project:
    """A checked project in which every reference resolves."""

    title: str
    description: str
    simulator: str
    beam: Beam
    physics: Physics
    figures: tuple[Figure, ...]
    zones: tuple[Zone, ...]
    world: World
    materials: tuple[Material, ...]
    detectors: tuple[Detector, ...]
    filters: tuple[Filter, ...]
    outputs: tuple[Output, ...]
    modulator: Modulator | None = None
    special: tuple[str, ...] = ()
    tree: Tree | None = None
    remarks: tuple[str, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)
    """JSON paths of detectors and filters by id."""

    @property
    def notes(self) -> tuple[str, ...]:
        """How ambiguous or unused parts were interpreted, independent of the engine."""
        return (*self.remarks, *(self.tree.notes if self.tree else ()))

    @property
    def zone_paths(self) -> tuple[str, ...]:
        """JSON paths of the zones, or of the figures that define them."""
        if self.tree:
            return tuple(path for path, _ in self.tree.zones)
        return tuple(f"zoneManager.zones[{k}]" for k in range(len(self.zones)))

    @property
    def world_path(self) -> str:
        """JSON path of the world, or of the figure that defines it."""
        return self.tree.figures[0][0] if self.tree else "zoneManager.worldZone"

    def detector(self, uuid: str) -> Detector:
        """Return the detector with that id."""
        return next(detector for detector in self.detectors if detector.uuid == uuid)

    def filter(self, uuid: str) -> Filter:
        """Return the filter with that id."""
        return next(known for known in self.filters if known.uuid == uuid)

    @property
    def filter_labels(self) -> dict[str, str]:
        """Labels of the used filters by id, which tell apart filters of one name that differ."""
        used = {quantity.filter for output in self.outputs for quantity in output.quantities}
        filters = tuple(known for known in self.filters if known.uuid in used)
        return filter_labels(filters, self.particle)

    def zone_material(self, zone: Zone | World) -> ZoneMaterial:
        """Return the material of a zone."""
        material = zone.custom_material
        if material is None or material.uuid != zone.material_uuid:
            material = next(
                (known for known in self.materials if known.uuid == zone.material_uuid), material
            )
        assert material is not None
        return ZoneMaterial(material, zone.material_properties_overrides)

    def particle(self, ref: ParticleRef) -> Particle:
        """Return the particle that a beam or filter of this project refers to."""
        return resolve_particle(ref, geant4=self.simulator == "geant4")


def parse_project(mapping: Mapping[str, Any] | Project) -> Project:
    """Parse a project from the editor's JSON, or from a result file downloaded from the editor.

    One that is parsed already is returned as it is. Raises InvalidInput with every problem and its
    JSON path.
    """
    if isinstance(mapping, Project):
        return mapping
    mapping = _unwrap(mapping)
    read = Collector(mapping)
    header = read.one(_Header, "project", read.block("project", required=False)) or _Header()
    beam = read.one(Beam, "beam", beam_block) if (beam_block := read.block("beam")) else None
    physics = read.one(Physics, "physic", read.block("physic", required=False))
    tree, figures, zones, world = _geometry(read, geant4=header.simulator == "geant4")
    materials = read.many(Material, "materialManager", "materials")
    detectors = read.many(Detector, "detectorManager", "detectors")
    filters = read.many(Filter, "scoringManager", "filters")
    outputs = read.many(Output, "scoringManager", "outputs")
    special, modulator = _special(read)
    _check_references(read, zones, world, detectors, outputs, modulator, tree)
    _check_particles(read, beam, filters, geant4=header.simulator == "geant4")
    _check_outputs(read, outputs, _by_id(detectors))
    _check_unique(read, [figures, zones, detectors, filters, outputs])
    drop_unused(read, mapping, nested=tree is not None)
    if read.problems or beam is None or physics is None or world is None:
        raise InvalidInput(read.problems)
    return Project(
        title=header.title,
        description=header.description,
        simulator=header.simulator,
        beam=beam,
        physics=physics,
        figures=_items(figures[1:] if tree else figures),
        zones=_items(zones),
        world=world,
        materials=_items(materials),
        detectors=_items(detectors),
        filters=_items(filters),
        outputs=_items(outputs),
        modulator=modulator,
        special=special,
        tree=tree,
        remarks=tuple(read.remarks),
        places={
            **{known.uuid: place for place, known in detectors},
            **{known.uuid: place for place, known in filters},
        },
    )


_MANAGERS = ("beam", "figureManager", "zoneManager", "scoringManager")


def _unwrap(mapping: object) -> Mapping[str, Any]:
    if not isinstance(mapping, Mapping):
        raise InvalidInput((Problem("", "a project must be an object"),))
    for outer, inner in (("input", "inputJson"), ("input", "input_json")):
        wrapper = mapping.get(outer)
        if isinstance(wrapper, Mapping) and isinstance(wrapper.get(inner), Mapping):
            found: Mapping[str, Any] = wrapper[inner]
            return found
    inner_json = mapping.get("input_json")
    if isinstance(inner_json, Mapping):
        return inner_json
    if not any(name in mapping for name in _MANAGERS):
        reason = f"this is not a project of the editor: it has none of {', '.join(_MANAGERS)}"
        raise InvalidInput((Problem("", reason),))
    return mapping


def _items(read: list[tuple[str, M]]) -> tuple[M, ...]:
    return tuple(item for _, item in read)


def _by_id(detectors: list[tuple[str, Detector]]) -> dict[str, Detector]:
    """Return detectors by id."""
    return {detector.uuid: detector for _, detector in detectors}


def _geometry(
    read: Collector, *, geant4: bool
) -> tuple[Tree | None, list[tuple[str, Figure]], list[tuple[str, Zone]], World | None]:
    """Return figures, zones and world, as drawn or as derived from a tree of figures."""
    drawn = read.many(DrawnFigure, "figureManager", "figures")
    zones = read.many(Zone, "zoneManager", "zones")
    figures: list[tuple[str, Figure]] = [*drawn]
    if not zones and is_tree(drawn, geant4=geant4):
        tree = read_tree(read, drawn)
        return tree, [*tree.figures], [*tree.zones], tree.world
    for path, figure in drawn:
        if figure.children:
            read.add(f"{path}.children", "figures are nested, or combined in zones, not both")
    return None, figures, zones, _world(read, _items(figures))


def _world(read: Collector, figures: tuple[Figure, ...]) -> World | None:
    block = read.block("zoneManager")
    if not block:
        return None
    found = block.get("worldZone")
    if not isinstance(found, Mapping):
        read.add("zoneManager.worldZone", "is missing")
        return None
    if figures and is_unsized(found):
        margin = margin_of(found)
        found = {**found, "geometryData": around(figures, margin)}
        text = f"has no size; a box {margin:g} times as large as all figures together is taken"
        read.remark("zoneManager.worldZone", text)
    return read.one(World, "zoneManager.worldZone", found)


def _special(read: Collector) -> tuple[tuple[str, ...], Modulator | None]:
    """Return the names of special components present, and the modulator if there is one."""
    block = read.block("specialComponentsManager", required=False)
    present = tuple(
        sorted(
            key
            for key, value in block.items()
            if value and key not in {"uuid", "name", "type", "metadata"}
        )
    )
    if not block.get("modulator"):
        return present, None
    path = "specialComponentsManager.modulator"
    return present, read.one(Modulator, path, block["modulator"])


def _check_references(
    read: Collector,
    zones: list[tuple[str, Zone]],
    world: World | None,
    detectors: list[tuple[str, Detector]],
    outputs: list[tuple[str, Output]],
    modulator: Modulator | None,
    tree: Tree | None,
) -> None:
    zone_ids = read.ids("zoneManager", "zones")
    if world is not None:
        zone_ids = zone_ids | {world.uuid}
    if tree is not None:
        # A figure of unknown material is not a zone, but it exists.
        zone_ids = zone_ids | {figure.uuid for _, figure in tree.figures}
    known = {
        "figure": {figure.uuid for _, figure in tree.figures}
        if tree
        else read.ids("figureManager", "figures"),
        "material": read.ids("materialManager", "materials"),
        "detector": read.ids("detectorManager", "detectors"),
        "filter": read.ids("scoringManager", "filters"),
        "zone": zone_ids,
    }
    references = [*_zone_references(zones, world), *_scoring_references(detectors, outputs)]
    if modulator is not None:
        path = "specialComponentsManager.modulator.geometryData.parameters.zoneUuid"
        references.append((path, "zone", modulator.geometry_data.parameters.zone_uuid))
    for path, kind, uuid in references:
        if uuid not in known[kind]:
            read.add(path, f"refers to a {kind} that does not exist: {uuid[:64]!r}")


def _zone_references(
    zones: list[tuple[str, Zone]], world: World | None
) -> Iterator[tuple[str, str, str]]:
    for path, zone in zones:
        for i, term in enumerate(zone.union_operations):
            for j, operand in enumerate(term):
                place = f"{path}.unionOperations[{i}][{j}].objectUuid"
                yield place, "figure", operand.object_uuid
    owners: list[tuple[str, Zone | World]] = [*zones]
    if world is not None:
        owners.append(("zoneManager.worldZone", world))
    for path, owner in owners:
        if owner.custom_material is None:
            yield f"{path}.materialUuid", "material", owner.material_uuid


def _scoring_references(
    detectors: list[tuple[str, Detector]], outputs: list[tuple[str, Output]]
) -> Iterator[tuple[str, str, str]]:
    for path, detector in detectors:
        data = detector.geometry_data
        if data.geometry_type == "Zone":
            place = f"{path}.geometryData.parameters.zoneUuid"
            yield place, "zone", data.parameters.zone_uuid
    for path, output in outputs:
        yield f"{path}.detectorUuid", "detector", output.detector_uuid
        for k, quantity in enumerate(output.quantities):
            if quantity.filter:
                yield f"{path}.quantities[{k}].filter", "filter", quantity.filter
            if quantity.material_uuid:
                place = f"{path}.quantities[{k}].materialUuid"
                yield place, "material", quantity.material_uuid


def _check_particles(
    read: Collector,
    beam: Beam | None,
    filters: list[tuple[str, Filter]],
    *,
    geant4: bool,
) -> None:
    named = [
        (f"{path}.{known.particle_key}", known.particle)
        for path, known in filters
        if known.particle is not None
    ]
    named += [
        (f"{path}.data.particleTypes[{k}]", particle)
        for path, known in filters
        for k, particle in enumerate(known.particles)
    ]
    if beam is not None:
        named.insert(0, ("beam.particle", beam.particle))
    for path, ref in named:
        _check_particle(read, path, ref, geant4=geant4)


def _check_particle(read: Collector, path: str, ref: ParticleRef, *, geant4: bool) -> None:
    try:
        particle = resolve_particle(ref, geant4=geant4)
    except UnknownParticle as error:
        read.add(f"{path}.{error.key}", error.reason)
        return
    if particle.species is Species.ION and not 1 <= particle.z <= particle.a:
        read.add(f"{path}.z", f"an ion needs 1 <= z <= a, not z={particle.z}, a={particle.a}")


def _check_outputs(
    read: Collector, outputs: list[tuple[str, Output]], detectors: Mapping[str, Detector]
) -> None:
    names = Counter(output.name.casefold() for _, output in outputs)
    for path, output in outputs:
        # File systems that ignore case would let one result overwrite the other.
        if names[output.name.casefold()] > 1:
            read.add(f"{path}.name", f"is used by more than one output: {output.name!r}")
        detector = detectors.get(output.detector_uuid)
        if detector is None:
            continue
        for k, quantity in enumerate(output.quantities):
            bins = _bins(detector, quantity)
            if bins > MAX_BINS:
                read.add(f"{path}.quantities[{k}]", f"has {bins} bins, more than {MAX_BINS}")


def _bins(detector: Detector, quantity: Quantity) -> int:
    bins = detector.geometry_data.bins
    for modifier in quantity.modifiers:
        bins *= modifier.bins_number
    return bins


def scored_bins(project: Project) -> int:
    """Bins of all quantities together, which every task scores and stores."""
    detectors = {detector.uuid: detector for detector in project.detectors}
    return sum(
        _bins(detectors[output.detector_uuid], quantity)
        for output in project.outputs
        for quantity in output.quantities
        if output.detector_uuid in detectors
    )


def _check_unique(read: Collector, lists: list[list[tuple[str, Any]]]) -> None:
    for items in lists:
        counts = Counter(item.uuid for _, item in items)
        for path, item in items:
            if item.uuid and counts[item.uuid] > 1:
                read.add(f"{path}.uuid", f"is used more than once: {item.uuid[:64]!r}")
