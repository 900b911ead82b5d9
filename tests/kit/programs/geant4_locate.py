"""Read GDML as Geant4 does and print the volume at each point: ``GEOMETRY POINTS.json``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main(geometry: str, points: str) -> None:
    os.environ["GEANT4_DATA_DIR"] = str(Path(geometry).parent)
    import geant4_pybind as g4

    output = os.dup(1)
    os.dup2(2, 1)
    parser = g4.G4GDMLParser()
    parser.Read(geometry, False)
    navigator = g4.G4Navigator()
    navigator.SetWorldVolume(parser.GetWorldVolume())
    found = []
    for x, y, z in json.loads(Path(points).read_text()):
        point = g4.G4ThreeVector(x * g4.cm, y * g4.cm, z * g4.cm)
        volume = navigator.LocateGlobalPointAndSetup(point, None, False, True)
        if volume is None:
            found.append(["World", "", 0.0])
            continue
        logical = volume.GetLogicalVolume()
        material = logical.GetMaterial()
        found.append(
            [logical.GetName(), material.GetName(), material.GetDensity() / (g4.g / g4.cm3)]
        )
    os.write(output, json.dumps(found).encode())
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
