"""The engines by name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from kerma_engines.fluka.engine import Fluka
from kerma_engines.geant4.engine import Geant4
from kerma_engines.shieldhit.engine import ShieldHit
from kerma_engines.topas.engine import Topas

if TYPE_CHECKING:
    from collections.abc import Callable

    from kerma_engines.engine import Engine

_ENGINES: dict[str, Callable[[], Engine]] = {
    "geant4": lambda: Geant4.from_environment(os.environ),
    "shieldhit": ShieldHit,
    "fluka": Fluka,
    "topas": Topas,
}

#: Names that a job may ask for.
ENGINE_NAMES = tuple(_ENGINES)


def engine(name: str) -> Engine:
    """The engine of that name. Raises KeyError for an unknown one."""
    return _ENGINES[name]()
