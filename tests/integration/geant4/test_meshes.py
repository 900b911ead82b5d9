"""Scoring meshes count as if each were the only one: real runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from kit.programs.geant4 import GEOMETRY, run_files

if TYPE_CHECKING:
    from pathlib import Path

HEAD = """/gps/particle proton
/gps/energy 230 MeV
/gps/pos/type Beam
/gps/pos/sigma_r 0.3 cm
/gps/pos/centre 0 0 -5 cm
/gps/direction 0 0 1
"""
RODS = """/score/create/cylinderMesh rod
/score/mesh/cylinderSize 0.5 5 cm
/score/mesh/nBin 1 1 1
/score/quantity/energyDeposit e MeV
/score/close
/score/create/cylinderMesh rings
/score/mesh/cylinderSize 4 5 cm
/score/mesh/nBin 8 1 1
/score/quantity/energyDeposit e MeV
/score/close
/run/beamOn 600
"""


def test_meshes_that_share_a_surface_lose_nothing(tmp_path: Path) -> None:
    # without the gap, the rod would lose 1.7e-3
    rod, rings = run_files({"g.gdml": GEOMETRY, "run.mac": HEAD + RODS}, tmp_path, 600)
    assert rod.pages[0].values[0] > 25
    assert rings.pages[0].values[0] == pytest.approx(rod.pages[0].values[0], rel=1e-5)
    # pages keep the edges of the macro
    np.testing.assert_array_equal(rings.pages[0].axes[0].edges, np.linspace(0, 4, 9))
