"""Quantities of SHIELD-HIT12A by detector and unit number, after sh_scoredef.h and sh_units.h."""

from __future__ import annotations

from typing import NamedTuple

from kerma_engines.results.estimators import MergeClass

_NAMES = {
    0: "NONE", 1: "ENERGY", 2: "FLUENCE", 3: "CROSSFLU", 4: "LETFLU", 5: "DOSE", 6: "DLET",
    7: "TLET", 8: "AVG-ENERGY", 9: "AVG-BETA", 10: "SPC", 11: "MATERIAL", 12: "DDD",
    13: "ALANINE", 14: "COUNTER", 15: "PET", 16: "DLETG", 17: "TLETG", 18: "ZONE", 19: "MEDIUM",
    20: "RHO", 21: "Q", 22: "FLU-CHAR", 23: "FLU-NEUT", 24: "FLU-NEQV", 25: "ANGLE", 26: "TRACE",
    27: "KINETIC-ENERGY", 28: "ENERGY-NUC", 29: "ENERGY-AMU", 30: "A", 31: "AMASS", 32: "AMU",
    33: "GEN", 34: "ID", 35: "DEDX", 36: "MASS-DEDX", 37: "TRACK-LENGTH", 38: "NKERMA",
    39: "DOSE-GY", 40: "DOSE-EQV", 41: "EQV-DOSE", 42: "USER1", 43: "USER2", 44: "N-EQV-DOSE",
    45: "Z2BETA2", 46: "DOSE-AV-Z2BETA2", 47: "TRACK-AV-Z2BETA2", 48: "DOSE-AV-Q",
    49: "TRACK-AV-Q", 50: "Z", 51: "ZEFF", 52: "ZEFF2BETA2", 53: "TZEFF2BETA2",
    54: "DZEFF2BETA2", 55: "COUNT", 56: "NORM-COUNT-POINT", 57: "COUNT-POINT", 58: "MOCA-YF",
    59: "MOCA-YD", 60: "Q-EFF", 61: "DQ-EFF", 62: "TQ-EFF", 63: "MCPL", 64: "DIRTYDOSE",
    65: "DIRTYDOSEGY", 66: "DAVGE", 67: "DBETA",
}  # fmt: skip

PHASE_SPACE = 63
"""The detector whose data are records of eight numbers, not bins."""

PHASE_SPACE_COLUMNS = "pdg;x;y;z;ux;uy;uz;E"

_LENGTH, _ANGLE = "cm", "rad"
_UNITS = {
    0: "", 1: "a.u.", 2: "%", 3: "%%", 4: "rel.units", 10: _LENGTH, 11: "cm^2", 12: "cm^3",
    13: "/cm", 14: "/cm^2", 15: "/cm^3", 16: "m", 17: "m^2", 18: "m^3", 19: "/m", 20: "/m^2",
    21: "/m^3", 22: "g/cm^3", 23: "kg/m^3", 30: "keV/um", 31: "MeV/cm", 32: "MeV cm^2/g",
    40: "MeV/g", 41: "Gy", 42: "Gy(RBE)", 43: "Gy(RE)", 44: "Sv", 45: "Rad", 46: "Rem",
    50: "deg", 51: _ANGLE, 52: "sr", 60: "#", 70: "MeV", 71: "MeV/nucleon", 72: "MeV/amu",
    80: "", 81: "MeV/c^2", 82: "u", 90: "", 91: "",
}  # fmt: skip

_DIFFERENTIAL_NAMES = {
    25: "Angle", 27: "Kinetic energy", 28: "Kinetic energy per nucleon",
    29: "Kinetic energy per amu", 30: "Mass number A", 35: "LET", 36: "Mass stopping power",
    37: "Track length", 45: "Z²/β²", 50: "Charge Z", 51: "Effective charge",
    52: "Z_eff²/β²",
}  # fmt: skip

_ANGULAR_UNITS = {"deg", "rad", "sr"}


class OldQuantity(NamedTuple):
    """Facts that formats before 2019 do not store.

    Stored values of ``per_primary`` quantities are sums.
    """

    unit: str
    merge: MergeClass


_PER_PRIMARY, _MEAN, _FIRST = MergeClass.PER_PRIMARY, MergeClass.MEAN, MergeClass.FIRST
_OLD = {
    1: OldQuantity("MeV/prim", _PER_PRIMARY),
    2: OldQuantity("/cm^2/prim", _PER_PRIMARY),
    3: OldQuantity("/cm^2/prim", _PER_PRIMARY),
    4: OldQuantity("MeV/cm", _MEAN),
    5: OldQuantity("MeV/g/prim", _PER_PRIMARY),
    6: OldQuantity("keV/um", _MEAN),
    7: OldQuantity("keV/um", _MEAN),
    8: OldQuantity("MeV/nucleon", _MEAN),
    9: OldQuantity("", _MEAN),
    11: OldQuantity("", _FIRST),
    13: OldQuantity("MeV/g/prim", _PER_PRIMARY),
    16: OldQuantity("keV/um", _MEAN),
    17: OldQuantity("keV/um", _MEAN),
    18: OldQuantity("", _FIRST),
    19: OldQuantity("", _FIRST),
    20: OldQuantity("g/cm^3", _FIRST),
    21: OldQuantity("", _MEAN),
    22: OldQuantity("/cm^2/prim", _PER_PRIMARY),
    23: OldQuantity("/cm^2/prim", _PER_PRIMARY),
    24: OldQuantity("/cm^2/prim", _PER_PRIMARY),
    61: OldQuantity("", _MEAN),
    62: OldQuantity("", _MEAN),
}


def detector_name(number: int) -> str:
    """Return the name of a detector type, as in detect.dat and result pages."""
    return _NAMES.get(number, f"DETECTOR-{number}")


def unit_name(number: int) -> str:
    """Return the text of a unit number; empty for those without unit and for unknown ones."""
    return _UNITS.get(number, "")


def differential_name(number: int, unit: str) -> str:
    """Return the name of a differential axis.

    Some versions write the first axis' type for both axes; a unit of angle reveals the second.
    """
    if unit in _ANGULAR_UNITS:
        return "Angle"
    return _DIFFERENTIAL_NAMES.get(number, detector_name(number))


def old_quantity(number: int, *, per_zone: bool) -> OldQuantity:
    """Return the unit and merge class of a detector in a file older than 2019.

    Zones have no volume there, so doses are energies.
    """
    found = _OLD.get(number, OldQuantity("/prim", _PER_PRIMARY))
    if per_zone and found.unit == "MeV/g/prim":
        return found._replace(unit="MeV/prim")
    return found
