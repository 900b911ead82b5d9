"""Convert filters and spectra of the editor's Geant4 mode to filters and quantities.

Filters have a ``filterType``, the name of Geant4's scoring filter, and its arguments in ``data``.
Kinetic energy spectra are fluence over the energy of the particle. The number, limits, unit and
spacing of their bins are arguments of Geant4's ``/analysis/h1/create``, which the editor fills in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MEV = {"meV": 1e-9, "eV": 1e-6, "keV": 1e-3, "MeV": 1.0, "GeV": 1e3}
_LOGARITHMIC = {"log", "log10"}


def spectrum_axis(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the axis of a kinetic energy spectrum. Raises ValueError naming the key."""
    if value.get("modifiers"):
        raise ValueError("a KineticEnergySpectrum has its own axis, and takes no modifiers")
    unit = _unit(value, "histogramUnit")
    bins = _number(value, "histogramNBins")
    if bins != int(bins) or bins < 1:
        raise ValueError("histogramNBins must be a whole number of bins")
    low, high = (_number(value, key) * unit for key in ("histogramMin", "histogramMax"))
    scale = value.get("histogramXScale", "none")
    scheme = value.get("histogramXBinScheme", "linear")
    if scale not in _LOGARITHMIC | {"none"} or scheme not in {"linear", "log"}:
        raise ValueError("bins of a KineticEnergySpectrum are linear or logarithmic")
    log = scale in _LOGARITHMIC or scheme == "log"
    if not low < high:
        raise ValueError("histogramMax must be greater than histogramMin")
    if log and low <= 0:
        raise ValueError("histogramMin must be positive when bins are logarithmic")
    return {
        "diffType": "E",
        "lowerLimit": low,
        "upperLimit": high,
        "binsNumber": int(bins),
        "isLog": log,
    }


def filter_parts(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rules and particles of a Geant4 filter. Raises ValueError naming the key."""
    kind, data = value.get("filterType"), value.get("data")
    if not isinstance(data, Mapping):
        raise ValueError("data is missing")
    if kind == "charged":
        return {"rules": [_rule("Z", "!=", 0)]}
    if kind == "neutral":
        return {"rules": [_rule("Z", "==", 0)]}
    parts: dict[str, Any] = {"particle_key": "data.particleTypes[0]"}
    if kind in {"particle", "particleWithKineticEnergy"}:
        parts |= _particles(data.get("particleTypes"))
    elif kind != "kineticEnergy":
        raise ValueError(f"filterType {str(kind)[:64]!r} is not known")
    if kind in {"kineticEnergy", "particleWithKineticEnergy"}:
        unit = _unit(data, "kineticEnergyUnit")
        low, high = (_number(data, f"kineticEnergy{end}") for end in ("Low", "High"))
        parts["rules"] = [_rule("E", ">=", low * unit), _rule("E", "<", high * unit)]
    return parts


def _particles(listed: object) -> dict[str, Any]:
    if not isinstance(listed, list | tuple) or not listed:
        raise ValueError("data.particleTypes names no particle")
    # The editor has written both whole particles and bare numbers.
    chosen = [item if isinstance(item, Mapping) else {"id": item} for item in listed]
    return {"particle": chosen[0]} if len(chosen) == 1 else {"particles": chosen}


def _rule(keyword: str, operator: str, value: float) -> dict[str, Any]:
    return {"keyword": keyword, "operator": operator, "value": value}


def _unit(value: Mapping[str, Any], key: str) -> float:
    unit = value.get(key)
    if not isinstance(unit, str) or unit not in _MEV:
        raise ValueError(f"{key} must be one of {', '.join(_MEV)}")
    return _MEV[unit]


def _number(value: Mapping[str, Any], key: str) -> float:
    number = value.get(key)
    if not _is_number(number):
        raise ValueError(f"{key} must be a number")
    return float(number)  # type: ignore[arg-type]  # _is_number has checked it


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -1e12 < value < 1e12
