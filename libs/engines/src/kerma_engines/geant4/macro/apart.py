"""Separate the surfaces of scoring meshes.

Each mesh is in its own parallel world. Where surfaces of two meshes coincide, Geant4 sometimes
misses that a track enters: a cylinder of 0.5 cm beside a mesh with a ring edge there loses 0.14 %
of its energy in a 150 MeV proton beam, a box of 1 cm in a mesh of 1 cm bins 0.15 %. Surfaces 5e-10
cm apart lose nothing, and neither do those that coincide with the real geometry. So every mesh
except the first is shifted, by distances negligible for any bin:

- boxes by ``STEP`` times a vector that is not along any axis,
- cylinders by ``STEP`` along their axis, their radii by the fraction ``STRETCH``, and about the
  axis by ``TURN`` degrees if they are divided in angle,

each times the number of the mesh, so that no two meshes shift together. Pages keep the positions of
the macro.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kerma_engines.geant4.scorers.meshes import Mesh

STEP = 1e-8
"""cm, 100 times the distance below which Geant4 treats surfaces as one."""
STRETCH = 1e-7
TURN = 1e-5
_VECTOR = (1.0, 1.3, 1.7)
_CREATES = ("/score/create/boxMesh ", "/score/create/cylinderMesh ")
_MOVE = "/score/mesh/translate/"


def keep_apart(commands: Iterable[str], meshes: Iterable[Mesh]) -> list[str]:
    """Return the commands with every mesh except the first shifted slightly."""
    known = {mesh.name: mesh for mesh in meshes}
    result: list[str] = []
    mesh, count = None, -1
    for command in commands:
        if command.startswith(_CREATES):
            mesh, count = known[command.split()[1]], count + 1
        if mesh is None or count == 0:
            result.append(command)
            continue
        if command == "/score/close":
            result.append(_moved(mesh, count))
            mesh = None
        if not command.startswith(_MOVE):
            result += _shaped(command, mesh, count)
    return result


def _shaped(command: str, mesh: Mesh | None, count: int) -> Iterator[str]:
    if mesh is not None and command.startswith("/score/mesh/cylinderSize "):
        radius, half = mesh.size
        yield f"/score/mesh/cylinderSize {radius * (1 + count * STRETCH):.15g} {half:.15g} cm"
        return
    yield command
    if mesh is not None and command.startswith(_CREATES[1]) and mesh.bins[2] > 1:
        yield f"/score/mesh/rotate/rotateZ {count * TURN:.15g} deg"


def _moved(mesh: Mesh, count: int) -> str:
    # A cylinder stays on its axis: moved sideways, its surface would meet others along lines.
    vector = mesh.matrix[:, 2] if mesh.shape == "cylinder" else _VECTOR
    centre = (x + count * STEP * along for x, along in zip(mesh.centre, vector, strict=True))
    return "/score/mesh/translate/xyz " + " ".join(f"{x:.15g}" for x in centre) + " cm"
