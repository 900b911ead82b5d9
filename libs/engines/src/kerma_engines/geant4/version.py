"""What Geant4 calls its version, and what the package is called that brings it."""

from __future__ import annotations

BINDING = "geant4-pybind"


def binding() -> str:
    """Name and version of the installed package."""
    # slow to load, and the transport process needs the other function alone
    from importlib.metadata import version

    return f"{BINDING} {version(BINDING)}"


def release(number: int) -> str:
    """``G4VERSION_NUMBER`` as people write it: 1141 is 11.4.1 (``G4Version.hh``)."""
    return f"{number // 100}.{number // 10 % 10}.{number % 10}"
