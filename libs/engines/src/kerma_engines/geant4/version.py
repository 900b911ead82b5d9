"""Geant4's version, and the name and version of the package that contains it."""

from __future__ import annotations

BINDING = "geant4-pybind"


def binding() -> str:
    """Return the name and version of the installed package."""
    # slow to load, and the transport process needs only the other function
    from importlib.metadata import version

    return f"{BINDING} {version(BINDING)}"


def release(number: int) -> str:
    """Return ``G4VERSION_NUMBER`` in readable form: 1141 is 11.4.1 (``G4Version.hh``)."""
    return f"{number // 100}.{number // 10 % 10}.{number % 10}"
