"""Energies of a macro's primaries: those that Geant4 transports."""

from __future__ import annotations

from dataclasses import dataclass

from kerma_engines.geant4.transport.spot_list import LEAST_ENERGY, MOST_ENERGY
from kerma_engines.project.energies import COLDEST, EnergyRange

#: Commands that set the energy of a source, and the units that Geant4 assumes without one
#: (``G4GeneralParticleSourceMessenger.cc``).
_COMMANDS = {"/gps/energy": "GeV", "/gps/ene/mono": "keV"}
_MEV = {
    "meV": 1e-9,
    "eV": 1e-6,
    "keV": 1e-3,
    "MeV": 1.0,
    "GeV": 1e3,
    "TeV": 1e6,
    "PeV": 1e9,
    "J": 1e-6 / 1.602176634e-19,
    "millielectronVolt": 1e-9,
    "electronvolt": 1e-6,
    "kiloelectronvolt": 1e-3,
    "megaelectronvolt": 1.0,
    "gigaelectronvolt": 1e3,
    "teraelectronvolt": 1e6,
    "petaelectronvolt": 1e9,
    "joule": 1e-6 / 1.602176634e-19,
}
_WITHOUT_NUCLEONS = {"gamma", "e-", "e+", "mu-", "mu+", "pi-", "pi+"}


def energy_range(particle: str) -> EnergyRange:
    """Return the energies that Geant4 transports; MeV, per nucleon for nuclei."""
    unit = "MeV" if particle in _WITHOUT_NUCLEONS else "MeV per nucleon"
    lowest = COLDEST if particle == "neutron" else LEAST_ENERGY
    return EnergyRange("Geant4", lowest, MOST_ENERGY, unit)


@dataclass(slots=True)
class SourceEnergy:
    """The energy of a macro's only source, as given last."""

    _line: int = 0
    _energy: float = 0.0
    _is_single: bool = True
    _is_peak: bool = True

    def command(self, command: str, arguments: list[str], line: int) -> None:
        """Read one of Geant4's commands, whose arguments have been checked."""
        if command in _COMMANDS:
            unit = arguments[1] if len(arguments) > 1 else _COMMANDS[command]
            self._line, self._energy = line, float(arguments[0]) * _MEV[unit]
        elif command == "/gps/ene/type":
            self._is_peak = arguments[0] in {"Mono", "Gauss"}
        elif command.startswith("/gps/source/"):
            self._is_single = False

    def fault(self, particle: str, nucleons: int) -> tuple[int, str] | None:
        """Return the line of an energy that Geant4 does not transport, and the reason, or None.

        Sources with other spectra, and the parts of a sum of sources, are not judged.
        """
        energies = energy_range(particle)
        decays_at_rest = self._energy == 0.0 and particle in _WITHOUT_NUCLEONS
        if not (self._line and self._is_peak and self._is_single) or decays_at_rest:
            return None
        reason = energies.problem(self._energy / nucleons)
        return (self._line, reason) if reason else None
