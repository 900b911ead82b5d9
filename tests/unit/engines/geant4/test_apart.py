"""Scoring meshes are separated by small gaps, and count as if each were the only one."""

from __future__ import annotations

import pytest

from kerma_engines.geant4.macro import macro
from kerma_engines.geant4.macro.apart import keep_apart

HEAD = """/gps/particle proton
/gps/energy 70 MeV
/gps/pos/type Beam
/gps/pos/sigma_r 0.3 cm
/gps/pos/centre 0 0 -5 cm
/gps/direction 0 0 1
"""


def told(text: str) -> list[str]:
    parsed = macro.parse(text, file="run.mac")
    return keep_apart(parsed.commands, parsed.meshes)


def mesh(name: str, more: str = "", shape: str = "boxMesh", size: str = "boxSize 1 1 1") -> str:
    return (
        f"/score/create/{shape} {name}\n/score/mesh/{size} cm\n/score/mesh/nBin 1 1 2\n{more}"
        "/score/quantity/energyDeposit e MeV\n/score/close\n"
    )


def test_a_mesh_alone_stays_where_it_is() -> None:
    text = HEAD + mesh("a", "/score/mesh/translate/xyz 0 0 1 cm\n") + "/run/beamOn 1\n"
    assert told(text) == list(macro.parse(text, file="run.mac").commands)


def test_no_two_meshes_move_together() -> None:
    place = "/score/mesh/translate/xyz 10 20 30 mm\n"
    lines = told(HEAD + mesh("a", place) + mesh("b", place) + mesh("c") + "/run/beamOn 1\n")
    moves = [line for line in lines if line.startswith("/score/mesh/translate/")]
    assert moves == [
        "/score/mesh/translate/xyz 10 20 30 mm",
        "/score/mesh/translate/xyz 1.00000001 2.000000013 3.000000017 cm",
        "/score/mesh/translate/xyz 2e-08 2.6e-08 3.4e-08 cm",
    ]
    # the last command before a mesh is closed, after its rotations
    assert lines[lines.index(moves[2]) + 1] == "/score/close"


def test_cylinders_stay_on_their_axes() -> None:
    turned = mesh("b", "/score/mesh/rotate/rotateX 90 deg\n", "cylinderMesh", "cylinderSize 0.5 1")
    lines = told(HEAD + mesh("a") + turned + "/run/beamOn 1\n")
    assert "/score/mesh/cylinderSize 0.50000005 1 cm" in lines
    assert "/score/mesh/rotate/rotateZ 1e-05 deg" in lines
    (move,) = [line for line in lines if line.startswith("/score/mesh/translate/")]
    x, y, z = (float(word) for word in move.split()[1:4])
    assert abs(y) == pytest.approx(1e-8)
    assert abs(x) + abs(z) < 1e-20
