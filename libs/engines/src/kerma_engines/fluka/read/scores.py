"""Scores of FLUKA detectors: particle and generalised-particle codes of its manual, chapter 5."""

from __future__ import annotations

from typing import NamedTuple

_NAMES = {
    -6: "4-HELIUM", -5: "3-HELIUM", -4: "TRITON", -3: "DEUTERON", -2: "HEAVYION", -1: "OPTIPHOT",
    0: "RAY", 1: "PROTON", 2: "APROTON", 3: "ELECTRON", 4: "POSITRON", 5: "NEUTRIE",
    6: "ANEUTRIE", 7: "PHOTON", 8: "NEUTRON", 9: "ANEUTRON", 10: "MUON+", 11: "MUON-",
    12: "KAONLONG", 13: "PION+", 14: "PION-", 15: "KAON+", 16: "KAON-", 17: "LAMBDA",
    18: "ALAMBDA", 19: "KAONSHRT", 20: "SIGMA-", 21: "SIGMA+", 22: "SIGMAZER", 23: "PIZERO",
    24: "KAONZERO", 25: "AKAONZER", 27: "NEUTRIM", 28: "ANEUTRIM", 31: "ASIGMA-",
    32: "ASIGMAZE", 33: "ASIGMA+", 34: "XSIZERO", 35: "AXSIZERO", 36: "XSI-", 37: "AXSI+",
    38: "OMEGA-", 39: "AOMEGA+", 40: "LOW-NEUT", 41: "TAU+", 42: "TAU-", 43: "NEUTRIT",
    44: "ANEUTRIT", 201: "ALL-PART", 202: "ALL-CHAR", 203: "ALL-NEUT", 204: "ALL-NEGA",
    205: "ALL-POSI", 206: "NUCLEONS", 207: "NUC&PI+-", 208: "ENERGY", 209: "PIONS+-",
    210: "BEAMPART", 211: "EM-ENRGY", 212: "MUONS", 213: "E+&E-", 214: "AP&AN", 215: "KAONS",
    216: "STRANGE", 217: "KAONS+-", 218: "HAD-CHAR", 219: "FISSIONS", 220: "HE-FISS",
    221: "LE-FISS", 222: "NEU-BALA", 223: "HAD-NEUT", 224: "KAONS0", 225: "C-MESONS",
    226: "C-(A)BAR", 227: "CHARMED", 228: "DOSE", 229: "UNB-ENER", 230: "UNB-EMEN",
    231: "X-MOMENT", 232: "Y-MOMENT", 233: "Z-MOMENT", 234: "ACTIVITY", 235: "ACTOMASS",
    236: "SI1MEVNE", 237: "HADGT20M", 238: "NIEL-DEP", 239: "DPA-SCO", 240: "DOSE-EQ",
    241: "DOSE-EM", 242: "NET-CHRG", 243: "DOSEQLET", 244: "RES-NIEL", 249: "HEHAD-EQ",
    250: "THNEU-EQ", 251: "RES-NUCL", 252: "DOSE-H2O", 253: "ALPHA-D", 254: "SQBETA-D",
    255: "LGH-IONS", 256: "HVY-IONS", 257: "E+E-GAMM",
}  # fmt: skip

_OTHER_PARTICLES = {name for code, name in _NAMES.items() if code < 201 and code not in (8, 40)}

_MEV = 1000.0
"""FLUKA counts in GeV, pages use MeV."""


class Score(NamedTuple):
    """The name and unit of a scored quantity, and the factor for stored numbers."""

    name: str
    unit: str
    factor: float = 1.0


_ENERGIES = {208, 211, 229, 230, 238, 244}
_DOSES = {228, 241, 243, 252}
_OTHERS = {
    219: "fissions/cm^3", 220: "fissions/cm^3", 221: "fissions/cm^3", 222: "neutrons/cm^3",
    231: "/cm^2", 232: "/cm^2", 233: "/cm^2", 234: "Bq/cm^3", 235: "Bq/g", 239: "DPA",
    240: "pSv", 242: "e/cm^3",
}  # fmt: skip


def particle_name(code: int) -> str:
    """Return FLUKA's name of a particle or generalised particle."""
    return _NAMES.get(code, f"PARTICLE {code}")


def never_neutron(particle: str) -> bool:
    """Return whether a detector of ``particle``, a name of FLUKA's, scores no neutrons."""
    return particle in _OTHER_PARTICLES


def binned_score(code: int, *, per_region: bool) -> Score:
    """Return the name, unit and factor of a USRBIN score.

    Binnings by region are not divided by volumes, not even doses (manual, USRBIN, note 13).
    """
    name = particle_name(code)
    if code in _ENERGIES:
        return Score(name, "MeV/prim" if per_region else "MeV/cm^3/prim", _MEV)
    if code in _DOSES:
        return Score(name, "MeV cm^3/g/prim" if per_region else "MeV/g/prim", _MEV)
    if code in _OTHERS:
        return Score(name, f"{_OTHERS[code]}/prim")
    return Score(f"FLUENCE {name}", "cm/prim" if per_region else "/cm^2/prim")
