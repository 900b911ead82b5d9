"""Write detectors, filters and outputs as ``detect.dat``, and build the output map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerma_engines.adapter.conversion import Names, map_output
from kerma_engines.physics.particles import Species
from kerma_engines.project.scoring import (
    AllDetector,
    BoxDetector,
    CylinderDetector,
    ZoneDetector,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kerma_engines.adapter.conversion import Verdict
    from kerma_engines.adapter.port import Output as MappedOutput
    from kerma_engines.project.project import Project
    from kerma_engines.project.scoring import Detector, Filter, Modifier, Quantity
    from kerma_engines.shieldhit.convert.geo import Geometry


class Scoring:
    """Writes ``detect.dat`` and maps outputs to result files."""

    def __init__(self, project: Project, geometry: Geometry, verdict: Verdict) -> None:
        self._project = project
        self._geometry = geometry
        self._verdict = verdict
        names = Names()
        self._detectors = {d.uuid: names.give(d.name, "detector") for d in project.detectors}
        names = Names()
        self._filters = {f.uuid: names.give(f.name, "filter") for f in project.filters}
        self._settings = names  # filters and settings are looked up by the same name
        names = Names()
        self._files = {o.uuid: names.give(o.name, "output") + ".bdo" for o in project.outputs}
        self._settings_lines: list[str] = []

    def outputs(self) -> tuple[MappedOutput, ...]:
        """Return the output map; the engine adds the task's number to the stem of each file."""
        labels = self._project.filter_labels
        return tuple(
            map_output(o.uuid, o.name, self._files[o.uuid], o.quantities, labels)
            for o in self._project.outputs
        )

    def text(self) -> str:
        """Return the text of ``detect.dat``; problems are recorded."""
        used = {output.detector_uuid for output in self._project.outputs}
        lines: list[str] = []
        for detector in self._project.detectors:
            if detector.uuid in used:
                lines += [*self._detector(detector), ""]
        filtered = {q.filter for o in self._project.outputs for q in o.quantities}
        for known in self._project.filters:
            if known.uuid in filtered:
                lines += [*self._filter(known), ""]
        outputs = [line for k in range(len(self._project.outputs)) for line in self._output(k)]
        return "\n".join([*lines, *self._settings_lines, *outputs])

    def _detector(self, detector: Detector) -> Iterator[str]:
        data = detector.geometry_data
        path = f"{self._project.places[detector.uuid]}.geometryData"
        if any(data.rotation):
            self._verdict.refuse(f"{path}.rotation", "detectors can't be turned")
        yield f"Geometry {data.geometry_type}"
        yield f"    Name {self._detectors[detector.uuid]}"
        if isinstance(data, CylinderDetector):
            if data.position[0] or data.position[1]:
                reason = "cylindrical detectors must lie on the z axis"
                self._verdict.refuse(f"{path}.position", reason)
            mesh = data.parameters
            yield f"    R {mesh.inner_radius:.12g} {mesh.radius:.12g} {mesh.radial_segments}"
            yield _axis("Z", data.position[2], mesh.depth, mesh.z_segments)
        elif isinstance(data, BoxDetector):
            box = data.parameters
            yield _axis("X", data.position[0], box.width, box.x_segments)
            yield _axis("Y", data.position[1], box.height, box.y_segments)
            yield _axis("Z", data.position[2], box.depth, box.z_segments)
        elif isinstance(data, ZoneDetector):
            yield f"    Zone {self._zones(data)}"
        else:
            assert isinstance(data, AllDetector)

    def _zones(self, data: ZoneDetector) -> str:
        for number, zone in enumerate(self._project.zones, start=1):
            if zone.uuid == data.parameters.zone_uuid:
                return str(number)
        world = self._geometry.world
        if len(world) > 1:
            return f"{world[0]} {world[-1]}"
        return str(world.start)

    def _filter(self, known: Filter) -> Iterator[str]:
        yield "Filter"
        yield f"    Name {self._filters[known.uuid]}"
        if known.particle is not None:
            yield from self._particle_rules(known)
        for rule in known.rules:
            yield f"    {rule.keyword} {rule.operator} {rule.value:.12g}"

    def _particle_rules(self, known: Filter) -> Iterator[str]:
        assert known.particle is not None
        particle = self._project.particle(known.particle)
        if particle.a > 0:
            yield f"    Z == {particle.z}"
            yield f"    A == {particle.a}"
        elif particle.kind.jpart is not None and particle.species is not Species.ION:
            yield f"    ID == {particle.kind.jpart}"
        else:
            path = f"{self._project.places[known.uuid]}.{known.particle_key}.id"
            reason = f"SHIELD-HIT12A does not transport {particle.kind.label}s"
            self._verdict.refuse(path, reason)

    def _output(self, k: int) -> Iterator[str]:
        output = self._project.outputs[k]
        path = f"scoringManager.outputs[{k}]"
        if output.trace:
            self._verdict.refuse(f"{path}.trace", "traces of particles can't be read back")
        yield "Output"
        yield f"    Filename {self._files[output.uuid]}"
        yield f"    Geo {self._detectors[output.detector_uuid]}"
        for quantity in output.quantities:
            yield from self._quantity(quantity)
        yield ""

    def _quantity(self, quantity: Quantity) -> Iterator[str]:
        words = ["Quantity", str(quantity.scored)]
        if quantity.filter:
            words.append(self._filters[quantity.filter])
        if settings := self._name_settings(quantity):
            words.append(settings)
        yield "    " + " ".join(words)
        for number, modifier in enumerate(quantity.modifiers, start=1):
            yield from _differential(number, modifier)

    def _name_settings(self, quantity: Quantity) -> str | None:
        lines: list[str] = []
        if quantity.rescale is not None:
            lines.append(f"    Rescale {quantity.rescale:.12g}")
        if quantity.offset is not None:
            lines.append(f"    Offset {quantity.offset:.12g}")
        if quantity.primaries is not None:
            lines.append(f"    Primaries {quantity.primaries:.12g}")
        if quantity.material_uuid is not None:
            material = next(
                known for known in self._project.materials if known.uuid == quantity.material_uuid
            )
            number = self._geometry.medium(material.icru)
            lines.append(f"    Medium {number}")
        if quantity.medium is not None:
            lines.append(f"    NKMedium {quantity.medium}")
        if not lines:
            return None
        name = self._settings.give(f"{quantity.name or quantity.keyword}_settings", "settings")
        self._settings_lines += ["Settings", f"    Name {name}", *lines, ""]
        return name


def _axis(label: str, centre: float, length: float, bins: int) -> str:
    low, high = centre - 0.5 * length, centre + 0.5 * length
    return f"    {label} {_tidy(low)} {_tidy(high)} {bins}"


def _tidy(value: float) -> str:
    # 15.35 - 0.05 is 15.299999999999999 in floating point.
    return f"{round(value, 9) + 0.0:.12g}"


def _differential(number: int, modifier: Modifier) -> Iterator[str]:
    limits = f"{modifier.lower_limit:.12g} {modifier.upper_limit:.12g} {modifier.bins_number}"
    yield f"    Diff{number} {limits}{' log' if modifier.is_log else ''}"
    yield f"    Diff{number}Type {modifier.diff_type}"
