"""The engines by name."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

from kerma_engines.fluka.engine import FLUKA
from kerma_engines.geant4.engine import Geant4
from kerma_engines.shieldhit.engine import SHIELDHIT
from kerma_engines.topas.engine import TOPAS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kerma_engines.adapter.port import Engine

_ENGINES: dict[str, Callable[[Mapping[str, str]], Engine]] = {
    "geant4": Geant4.from_environment,
    "shieldhit": lambda _: SHIELDHIT,
    "fluka": lambda _: FLUKA,
    "topas": lambda _: TOPAS,
}

#: The names that a job may request.
ENGINE_NAMES = tuple(_ENGINES)


def engine(name: str, environment: Mapping[str, str] | None = None) -> Engine:
    """Return the engine of that name. ``environment`` (by default the process's) locates its data.

    Raises KeyError for an unknown name.
    """
    return _ENGINES[name](os.environ if environment is None else environment)


def load_code() -> None:
    """Import the engines' own code, for processes that run it: the engines alone do not."""
    for name in ENGINE_NAMES:
        import_module(f"kerma_engines.{name}.code")
