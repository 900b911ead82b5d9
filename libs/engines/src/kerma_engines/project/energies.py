"""Ranges of energies that engines transport; quick to import, for transport processes."""

from __future__ import annotations

from dataclasses import dataclass

COLDEST = 1e-11
"""MeV: 10 µeV, where evaluated neutron data begin (ENDF-6 format manual)."""


@dataclass(frozen=True, slots=True)
class EnergyRange:
    """The energies of primaries that ``engine`` transports, above 0 and in ``unit``."""

    engine: str
    lowest: float
    highest: float
    unit: str = "MeV per nucleon"

    def problem(self, energy: float) -> str:
        """Return why an energy is refused, or ""."""
        if energy > 0.0 and self.lowest <= energy <= self.highest:
            return ""
        least = f"from {self.lowest:g}" if self.lowest else "above 0"
        limit = f"up to {self.highest:g}" if energy > self.highest else least
        return f"{energy:g} {self.unit}; {self.engine} transports {limit}"
