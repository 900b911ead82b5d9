"""Variables that an engine's programs see, when asked for their version and when they run.

Only what is named here is passed on, so that no secret of a service or its machine reaches a
program that users' input files steer. ``environment`` in ``engines.toml`` adds to it. The locale
is C, as others write decimal commas.

FLUPRO is where FLUKA is installed, FLUFOR its compiler (manual of fluka.org, 2.1); TOPAS finds
Geant4's data by TOPAS_G4_DATA_DIR and its pictures' plugins by Qt's variables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PASSED_ON = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "TZ", "LD_LIBRARY_PATH", "FLUPRO", "FLUFOR"}
)
PASSED_ON_PREFIXES = ("G4", "GEANT4_", "TOPAS_", "FLUKA_", "QT_", "GFORTRAN_")


def passed_on(environment: Mapping[str, str]) -> dict[str, str]:
    """What of a process's variables its engines see."""
    return {
        name: value
        for name, value in environment.items()
        if name in PASSED_ON or name.startswith(PASSED_ON_PREFIXES)
    }


def engine_environment(
    process: Mapping[str, str], directory: Path, own: Mapping[str, str]
) -> dict[str, str]:
    """All variables of an engine that works in ``directory``; ``own`` are those of its command."""
    fixed = {"LC_ALL": "C", "TMPDIR": str(directory), "OMP_NUM_THREADS": "1"}
    return {**passed_on(process), **fixed, **own}
