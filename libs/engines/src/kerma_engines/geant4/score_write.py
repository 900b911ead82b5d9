"""Scoring outputs of a project as scoring meshes, and the map from pages to scorers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kerma_engines.engine import Output, OutputQuantity
from kerma_engines.errors import Problem
from kerma_engines.geant4.gdml_write import clean, number, zone_volume
from kerma_engines.geant4.result_file import SUFFIX
from kerma_engines.geant4.score_filter import Unsupported, filter_commands
from kerma_engines.scoring import AllDetector, BoxDetector, CylinderDetector, Keyword

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kerma_engines.project import Project
    from kerma_engines.scoring import Detector, Quantity
    from kerma_engines.scoring import Output as ProjectOutput

#: Scorer command of each quantity that has one.
SCORERS = {
    Keyword.DOSE: "doseDeposit {name} Gy",
    Keyword.DOSE_GY: "doseDeposit {name} Gy",
    Keyword.ENERGY: "energyDeposit {name} MeV",
    Keyword.FLUENCE: "cellFlux {name} percm2",
}


@dataclass(frozen=True, slots=True)
class Scoring:
    """Macro lines, output map, and per output and quantity the scorer that holds its numbers."""

    commands: tuple[str, ...]
    outputs: tuple[Output, ...]
    pages: tuple[tuple[dict[str, Any], ...], ...]
    problems: tuple[Problem, ...]


class _Meshes:
    """One mesh per detector in use, shared by its outputs; one scorer per distinct quantity."""

    def __init__(self, project: Project, *, full: bool) -> None:
        self.project = project
        self.full = full
        self.problems: list[Problem] = []
        self.names: dict[str, str] = {}
        self.lines: dict[str, list[str]] = {}
        self.scorers: dict[tuple[str, ...], str] = {}

    def mesh(self, uuid: str) -> str:
        if uuid not in self.names:
            detector = self.project.detector(uuid)
            name = f"mesh_{len(self.names) + 1}_{clean(detector.name)}".rstrip("_")
            self.names[uuid] = name
            self.lines[name] = _mesh_commands(self.project, detector, name)
            self._check(uuid, detector)
        return self.names[uuid]

    def _check(self, uuid: str, detector: Detector) -> None:
        if any(detector.geometry_data.rotation):
            index = [known.uuid for known in self.project.detectors].index(uuid)
            place = f"detectorManager.detectors[{index}].geometryData.rotation"
            self.problems.append(Problem(place, "turned detectors can't be used with Geant4"))

    def scorer(self, mesh: str, quantity: Quantity, path: str, *, everywhere: bool) -> str:
        """Name of the scorer of a quantity; problems are noted."""
        self._refuse(quantity, path, everywhere=everywhere)
        command = SCORERS.get(quantity.keyword)
        if command is None:
            reason = f"{quantity.keyword.value} is not yet scored with Geant4"
            self.problems.append(Problem(f"{path}.keyword", reason))
            return ""
        filters: tuple[str, ...] = ()
        if quantity.filter:
            try:
                filters = filter_commands(self.project, quantity.filter, full=self.full)
            except Unsupported as error:
                self.problems.append(Problem(f"{path}.filter", str(error)))
        key = (mesh, command, *filters)
        if key not in self.scorers:
            name = f"{command.split()[0]}_{len(self.scorers) + 1}"
            self.scorers[key] = name
            self.lines[mesh].append(f"/score/quantity/{command.format(name=name)}")
            self.lines[mesh] += filters
        return self.scorers[key]

    def _refuse(self, quantity: Quantity, path: str, *, everywhere: bool) -> None:
        reasons = {
            "modifiers": quantity.modifiers and "differential axes are not yet scored with Geant4",
            "offset": quantity.offset and "an offset can't be used with Geant4",
            "primaries": quantity.primaries and "a fixed number of primaries can't be used",
            "materialUuid": quantity.material_uuid and "dose to another material is not scored",
            "medium": quantity.medium and "dose to another medium is not scored",
        }
        for key, reason in reasons.items():
            if reason:
                self.problems.append(Problem(f"{path}.{key}", reason))
        if everywhere and quantity.keyword in {Keyword.DOSE, Keyword.DOSE_GY}:
            reason = "dose can't be averaged over everything; score Energy instead"
            self.problems.append(Problem(f"{path}.keyword", reason))


def scoring(project: Project, *, full: bool) -> Scoring:
    """Meshes, scorers and output map of a project."""
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
    return Scoring(tuple(lines), tuple(outputs), tuple(pages), tuple(meshes.problems))


def _pages(meshes: _Meshes, output: ProjectOutput, mesh: str, path: str) -> list[dict[str, Any]]:
    detector = meshes.project.detector(output.detector_uuid)
    everywhere = isinstance(detector.geometry_data, AllDetector)
    return [
        {
            "scorer": meshes.scorer(
                mesh, quantity, f"{path}.quantities[{k}]", everywhere=everywhere
            ),
            "keyword": quantity.keyword.value,
            "rescale": 1.0 if quantity.rescale is None else quantity.rescale,
        }
        for k, quantity in enumerate(output.quantities)
    ]


def _output(project: Project, output: ProjectOutput, mesh: str) -> Output:
    quantities = tuple(
        OutputQuantity(
            number=k,
            name=quantity.name,
            keyword=quantity.keyword.value,
            filter_name=project.filter(quantity.filter).name if quantity.filter else "",
        )
        for k, quantity in enumerate(output.quantities)
    )
    return Output(output.uuid, output.name, f"{mesh}{SUFFIX}", quantities)


def _mesh_commands(project: Project, detector: Detector, name: str) -> list[str]:
    data = detector.geometry_data
    place = "/score/mesh/translate/xyz " + " ".join(number(x) for x in data.position) + " cm"
    if isinstance(data, CylinderDetector):
        mesh = data.parameters
        lines = [
            f"/score/create/cylinderMesh {name}",
            f"/score/mesh/cylinderSize {number(mesh.radius)} {number(0.5 * mesh.depth)} cm",
            f"/score/mesh/nBin {mesh.radial_segments} {mesh.z_segments} 1",
            place,
        ]
        if mesh.inner_radius:
            lines.insert(2, f"/score/mesh/cylinderRMin {number(mesh.inner_radius)} cm")
        return lines
    if isinstance(data, BoxDetector):
        box = data.parameters
        half = (0.5 * box.width, 0.5 * box.height, 0.5 * box.depth)
        return _box(name, half, (box.x_segments, box.y_segments, box.z_segments), place)
    if isinstance(data, AllDetector):
        world = project.world.geometry_data
        centre = " ".join(number(x) for x in world.position)
        place = f"/score/mesh/translate/xyz {centre} cm"
        return _box(name, tuple(float(x) for x in world.half_extent), (1, 1, 1), place)
    return [
        f"/score/create/realWorldLogVol {name} {zone_volume(project, data.parameters.zone_uuid)}"
    ]


def _box(name: str, half: tuple[float, ...], bins: tuple[int, int, int], place: str) -> list[str]:
    return [
        f"/score/create/boxMesh {name}",
        "/score/mesh/boxSize " + " ".join(number(x) for x in half) + " cm",
        "/score/mesh/nBin " + " ".join(str(n) for n in bins),
        place,
    ]


def detector_boxes(project: Project) -> list[NDArray[np.float64]]:
    """Enclosing boxes, shape (2, 3), of the detectors that outputs use."""
    boxes = []
    used = {output.detector_uuid for output in project.outputs}
    for detector in project.detectors:
        data = detector.geometry_data
        if detector.uuid not in used:
            continue
        centre = np.asarray(data.position)
        if isinstance(data, CylinderDetector):
            mesh = data.parameters
            half = np.array([mesh.radius, mesh.radius, 0.5 * mesh.depth])
        elif isinstance(data, BoxDetector):
            box = data.parameters
            half = 0.5 * np.array([box.width, box.height, box.depth])
        else:
            continue
        boxes.append(np.stack([centre - half, centre + half]))
    return boxes
