"""The environment of an engine's programs, both for the version probe and for runs.

Only the variables named here are passed on, so that no secret of a service or its machine reaches a
program that users' input files steer. ``environment`` in ``engines.toml`` adds to them. The locale
is C, because others write decimal commas. The sandbox lets programs read the directories that
variables name.

FLUPRO is the directory of FLUKA and FLUFOR its compiler (manual of fluka.org, 2.1). TOPAS finds
Geant4's data by TOPAS_G4_DATA_DIR and its graphics plugins by Qt's variables.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from kerma_sandbox.files.places import exposed, installation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PASSED_ON = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "TZ", "LD_LIBRARY_PATH", "FLUPRO", "FLUFOR"}
)
_NOT_READ = frozenset({"PATH", "HOME", "USER", "LOGNAME", "TZ", "TMPDIR", "PYTHONPATH"})
PASSED_ON_PREFIXES = ("G4", "GEANT4_", "TOPAS_", "FLUKA_", "QT_", "GFORTRAN_")


def passed_on(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a process that its engines may see."""
    return {
        name: value
        for name, value in environment.items()
        if name in PASSED_ON or name.startswith(PASSED_ON_PREFIXES)
    }


def engine_environment(
    process: Mapping[str, str], directory: Path, own: Mapping[str, str]
) -> dict[str, str]:
    """Return all variables of an engine that works in ``directory``; ``own`` are its command's."""
    fixed = {"LC_ALL": "C", "TMPDIR": str(directory), "OMP_NUM_THREADS": "1"}
    return {**passed_on(process), **fixed, **own}


def readable_places(
    program: str,
    variables: Mapping[str, str],
    named: Iterable[Path],
    work: Path,
    private: Iterable[Path] = (),
) -> tuple[Path, ...]:
    """Return what an engine may read besides its work folder: its installation and ``named``.

    ``named`` is kept as it is. Directories in variables are added if they exist and contain neither
    ``work``, which would expose the work of other tasks, nor a path of ``private``.
    """
    found = dict.fromkeys(named)
    kept = (work, *private)
    if Path(program).is_absolute():
        found |= dict.fromkeys(installation(Path(program), kept_from=kept))
    for name, value in variables.items():
        if name not in _NOT_READ:
            parts = [Path(part) for part in value.split(os.pathsep) if part.startswith("/")]
            found |= dict.fromkeys(p for p in parts if _exists(p) and not exposed((p,), kept))
    return tuple(found)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
