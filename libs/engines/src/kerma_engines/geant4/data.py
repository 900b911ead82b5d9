"""Geant4's data sets: those that an operator installed, or placeholders.

The wheel contains no data. Geant4 reads a few files in constructors of processes which this engine
removes again before the first primary (see ``physics_list``); those files only have to exist and
parse. Their numbers are never used: when they change, not a byte of a run's result does.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Environment variable of each data set, and the prefix of its directory in ``GEANT4_DATA_DIR``.
DATA_SETS = {
    "G4ENSDFSTATEDATA": "G4ENSDFSTATE",
    "G4LEDATA": "G4EMLOW",
    "G4LEVELGAMMADATA": "PhotonEvaporation",
    "G4PARTICLEXSDATA": "G4PARTICLEXS",
    "G4NEUTRONHPDATA": "G4NDL",
    "G4SAIDXSDATA": "G4SAIDDATA",
    "G4PIIDATA": "G4PII",
    "G4RADIOACTIVEDATA": "RadioactiveDecay",
    "G4INCLDATA": "G4INCL",
    "G4ABLADATA": "G4ABLA",
    "G4REALSURFACEDATA": "RealSurface",
    "G4CHANNELINGDATA": "G4CHANNELING",
}

#: Variables that every stock physics list needs.
REQUIRED = ("G4ENSDFSTATEDATA", "G4LEDATA", "G4LEVELGAMMADATA", "G4PARTICLEXSDATA", "G4SAIDXSDATA")

ROOT = "GEANT4_DATA_DIR"
"""The parent directory of data sets that have no variable set."""

_HEAVIEST_Z = 92

#: An ASCII G4PhysicsVector of three points in MeV and mm2: a cross section of zero.
_EMPTY_CROSS_SECTION = "1e-5 20 3\n3\n1e-5 0\n1.4142e-2 0\n20 0\n"


def installed(env: Mapping[str, str]) -> dict[str, str]:
    """Return variables of the operator's data sets; empty unless a full run has all it needs.

    A data set exists when its variable, or a directory of its name below ``GEANT4_DATA_DIR``, is a
    non-empty directory.
    """
    found = _found(env)
    if any(variable not in found for variable in REQUIRED):
        return {}
    found[ROOT] = env.get(ROOT) or str(Path(found["G4LEDATA"]).parent)
    return found


def missing(env: Mapping[str, str]) -> str:
    """Return variables of missing data sets that a full run needs; empty if there are none."""
    found = _found(env)
    return ", ".join(variable for variable in REQUIRED if variable not in found)


def _found(env: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for variable, prefix in DATA_SETS.items():
        folder = env.get(variable) or _below(env.get(ROOT, ""), prefix)
        if folder and _has_content(folder):
            found[variable] = folder
    return found


def _below(root: str, prefix: str) -> str:
    if not root:
        return ""
    folders = sorted(str(path) for path in Path(root).glob(f"{prefix}*") if path.is_dir())
    return folders[-1] if folders else ""


def _has_content(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except OSError:
        return False


def write_placeholders(folder: Path) -> dict[str, str]:
    """Create the files that let the pruned physics list start; return the variables to set."""
    neutron = folder / "neutron"
    neutron.mkdir(parents=True, exist_ok=True)
    (folder / "ENSDFSTATE.dat").touch()
    for z in range(1, _HEAVIEST_Z + 1):
        (neutron / f"inel{z}").write_text(_EMPTY_CROSS_SECTION)
    return dict.fromkeys((*DATA_SETS, ROOT), str(folder))
