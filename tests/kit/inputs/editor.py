"""Small editor projects for tests."""

from __future__ import annotations

from typing import Any

GEANT4_NAMES = {
    "water": "G4_WATER",
    "lead": "G4_Pb",
    "air": "G4_AIR",
    "vacuum": "G4_Galactic",
    "black_hole": "BlackHole",
    "pmma": "G4_PLEXIGLASS",
    "hydrogen": "G4_H",
}
MATERIALS = {
    "water": 276,
    "lead": 82,
    "air": 104,
    "vacuum": 1000,
    "black_hole": 0,
    "pmma": 223,
    "hydrogen": 1,
}


def box(sides: tuple[float, float, float], **place: Any) -> dict[str, Any]:
    width, height, depth = sides
    parameters = {"width": width, "height": height, "depth": depth}
    return {"geometryType": "BoxGeometry", "parameters": parameters, **place}


def cylinder(radius: float, depth: float, inner: float = 0, **place: Any) -> dict[str, Any]:
    parameters = {"radius": radius, "innerRadius": inner, "depth": depth}
    return {"geometryType": "HollowCylinderGeometry", "parameters": parameters, **place}


def sphere(radius: float, **place: Any) -> dict[str, Any]:
    return {"geometryType": "SphereGeometry", "parameters": {"radius": radius}, **place}


def mesh(sides: tuple[float, float, float], bins: tuple[int, int, int]) -> dict[str, Any]:
    (width, height, depth), (x, y, z) = sides, bins
    return {
        "geometryType": "Mesh",
        "position": [0, 0, 0],
        "parameters": {
            "width": width,
            "height": height,
            "depth": depth,
            "xSegments": x,
            "ySegments": y,
            "zSegments": z,
        },
    }


def zone(material: str, *terms: str, **more: Any) -> dict[str, Any]:
    """Return a zone of terms such as ``"a-b*c"``: figure names joined by + - *, left to right."""
    modes = {"+": "union", "-": "subtraction", "*": "intersection"}
    operations = []
    for term in terms:
        signed = term if term[0] in modes else f"+{term}"
        operations.append(
            [
                {"mode": modes[sign], "objectUuid": name}
                for sign, name in zip(signed[::2], signed[1::2], strict=True)
            ]
        )
    return {"materialUuid": material, "unionOperations": operations, **more}


def drawn(
    uuid: str, material: str, data: dict[str, Any], *children: dict[str, Any]
) -> dict[str, Any]:
    """Return a figure as the editor's Geant4 mode writes it, with those inside it."""
    simulation_material = {"icru": MATERIALS[material], "geant4_name": GEANT4_NAMES[material]}
    return {
        "uuid": uuid,
        "name": uuid,
        "geometryData": data,
        "simulationMaterial": simulation_material,
        "children": list(children),
    }


def tree_project(world: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a project of the editor's Geant4 mode: one figure is the world and holds all others."""
    built = project({}, [], **more)
    built["project"] = {"simulator": "geant4"}
    built["figureManager"]["figures"] = [world]
    nothing = {"width": 0, "height": 0, "depth": 0}
    built["zoneManager"]["worldZone"]["geometryData"] = {
        "geometryType": "BoxGeometry",
        "position": [0, 0, 0],
        "parameters": nothing,
    }
    return built


def project(
    figures: dict[str, dict[str, Any]],
    zones: list[dict[str, Any]],
    *,
    world: dict[str, Any] | None = None,
    world_material: str = "vacuum",
    detectors: list[dict[str, Any]] | None = None,
    quantities: list[dict[str, Any]] | None = None,
    filters: list[dict[str, Any]] | None = None,
    **beam: Any,
) -> dict[str, Any]:
    """Return a project with one-letter figure names; one output ``out<k>`` per detector."""
    detectors = detectors or [mesh((1, 1, 1), (1, 1, 1))]
    return {
        "beam": {"particle": {"id": 2}, "energy": 70, "numberOfParticles": 100, **beam},
        "figureManager": {
            "figures": [
                {"uuid": name, "name": name, "geometryData": data} for name, data in figures.items()
            ]
        },
        "zoneManager": {
            "zones": [
                {"uuid": f"z{k}", "name": f"Z{k}", **definition}
                for k, definition in enumerate(zones)
            ],
            "worldZone": {
                "uuid": "world",
                "materialUuid": world_material,
                "geometryData": world or box((20, 20, 20)),
            },
        },
        "materialManager": {
            "materials": [{"uuid": name, "icru": icru} for name, icru in MATERIALS.items()]
        },
        "detectorManager": {
            "detectors": [
                {"uuid": f"d{k}", "name": f"D {k}", "geometryData": data}
                for k, data in enumerate(detectors)
            ]
        },
        "scoringManager": {
            "filters": filters or [],
            "outputs": [
                {
                    "uuid": f"o{k}",
                    "name": f"out{k}",
                    "detectorUuid": f"d{k}",
                    "quantities": quantities or [{"keyword": "Energy"}],
                }
                for k in range(len(detectors))
            ],
        },
    }
