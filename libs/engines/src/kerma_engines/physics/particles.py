"""Particles that projects refer to, and their names in each engine.

Projects number particles in three ways: as SHIELD-HIT12A does (JPART, with 26 added for electrons),
with a short list in projects drawn in Geant4 mode, and with the codes of the Particle Data Group
(PDG). Names and numbers come from the manuals of SHIELD-HIT12A, FLUKA and TOPAS (Geant4); PDG codes
from the Review of Particle Physics, "Monte Carlo particle numbering scheme", where 10LZZZAAAI is the
nucleus of Z protons and A nucleons.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Self

from pydantic import Field, model_validator

from kerma_engines.fields import Model, Name, Whole


@dataclass(frozen=True, slots=True)
class Kind:
    """One species; ``a`` and ``z`` are nucleon and charge numbers, 0 if it is not a nucleus."""

    label: str
    pdg: int
    jpart: int | None
    fluka: str
    geant4: str
    a: int = 0
    z: int = 0


class Species(Enum):
    """All particles that a project can name, except ions given by A and Z."""

    NEUTRON = Kind("neutron", 2112, 1, "NEUTRON", "neutron", 1, 0)
    PROTON = Kind("proton", 2212, 2, "PROTON", "proton", 1, 1)
    PION_MINUS = Kind("pion-", -211, 3, "PION-", "pi-", 0, -1)
    PION_PLUS = Kind("pion+", 211, 4, "PION+", "pi+", 0, 1)
    PION_ZERO = Kind("pion0", 111, 5, "PIZERO", "pi0")
    ANTIPROTON = Kind("antiproton", -2212, 7, "APROTON", "anti_proton", 0, -1)
    KAON_MINUS = Kind("kaon-", -321, 8, "KAON-", "kaon-", 0, -1)
    KAON_PLUS = Kind("kaon+", 321, 9, "KAON+", "kaon+", 0, 1)
    KAON_ZERO = Kind("kaon0", 311, 10, "KAONZERO", "kaon0")
    ANTIKAON_ZERO = Kind("antikaon0", -311, 11, "AKAONZER", "anti_kaon0")
    MUON_MINUS = Kind("muon-", 13, 15, "MUON-", "mu-", 0, -1)
    MUON_PLUS = Kind("muon+", -13, 16, "MUON+", "mu+", 0, 1)
    DEUTERON = Kind("deuteron", 1000010020, 21, "DEUTERON", "deuteron", 2, 1)
    TRITON = Kind("triton", 1000010030, 22, "TRITON", "triton", 3, 1)
    HELIUM3 = Kind("helium-3", 1000020030, 23, "3-HELIUM", "He3", 3, 2)
    HELIUM4 = Kind("helium-4", 1000020040, 24, "4-HELIUM", "alpha", 4, 2)
    ION = Kind("heavy ion", 0, 25, "HEAVYION", "GenericIon")
    ELECTRON = Kind("electron", 11, None, "ELECTRON", "e-", 0, -1)
    POSITRON = Kind("positron", -11, None, "POSITRON", "e+", 0, 1)
    PHOTON = Kind("photon", 22, None, "PHOTON", "gamma")


EDITOR_IDS = {kind.value.jpart: kind for kind in Species if kind.value.jpart is not None} | {
    26: Species.ELECTRON
}

GEANT4_IDS = {
    1: Species.NEUTRON,
    2: Species.PROTON,
    3: Species.PHOTON,
    4: Species.ELECTRON,
    5: Species.POSITRON,
    6: Species.HELIUM4,
    7: Species.MUON_MINUS,
    8: Species.MUON_PLUS,
    9: Species.PION_MINUS,
    10: Species.PION_PLUS,
    11: Species.ION,
    25: Species.ION,
}


PDG_CODES = {kind.value.pdg: kind for kind in Species if kind is not Species.ION} | {
    1000000010: Species.NEUTRON,
    1000010010: Species.PROTON,
}
_NUCLEUS = 10**9
_MOST_Z, _MOST_A = 120, 300
_SMALLEST_CODE = 100
"""Codes below this one are numbers of the editor where they stand as ``id``."""


class ParticleRef(Model):
    """A particle as the project names it; ``a`` and ``z`` are used for ions only.

    ``id`` is a number of the editor's list or a PDG code, ``pdg`` a PDG code.
    """

    id: Annotated[int, Whole] | None = None
    pdg: Annotated[int, Whole] | None = None
    name: Name = ""
    a: Annotated[int, Whole, Field(ge=-_MOST_A, le=_MOST_A)] | None = None
    z: Annotated[int, Whole, Field(ge=-_MOST_Z, le=_MOST_Z)] | None = None

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.id is None and self.pdg is None:
            raise ValueError("needs an id or a pdg code")
        return self

    @property
    def key(self) -> str:
        """The key that names the particle."""
        return "id" if self.pdg is None else "pdg"


@dataclass(frozen=True, slots=True)
class Particle:
    """A resolved particle; ``a`` and ``z`` are set for nuclei and ions."""

    species: Species
    a: int
    z: int

    @property
    def kind(self) -> Kind:
        """The names and numbers of the species."""
        return self.species.value

    @property
    def is_nucleus(self) -> bool:
        """Whether energies are usually given per nucleon: deuterons and heavier."""
        return self.a > 1


def resolve_particle(ref: ParticleRef, *, geant4: bool) -> Particle:
    """Return the particle of a reference.

    Raises UnknownParticle for a number that names none, and for two numbers that disagree.
    """
    by_code = None if ref.pdg is None else _by_code(ref.pdg)
    if ref.pdg is not None and by_code is None:
        raise UnknownParticle("pdg", f"is no known particle: {ref.pdg}")
    by_id = None if ref.id is None else _by_id(ref.id, ref, geant4=geant4)
    if ref.id is not None and by_id is None:
        raise UnknownParticle("id", f"is no known particle: {ref.id}")
    if by_code and by_id and by_code != by_id:
        raise UnknownParticle("pdg", f"is another particle than the id {ref.id}")
    found = by_code or by_id
    assert found is not None  # a reference has one of both
    return found


class UnknownParticle(ValueError):  # noqa: N818 - a verdict on the project
    """A reference that names no particle; ``key`` is the wrong key of it."""

    def __init__(self, key: str, reason: str) -> None:
        self.key = key
        self.reason = reason
        super().__init__(f"{key}: {reason}")


def _by_id(number: int, ref: ParticleRef, *, geant4: bool) -> Particle | None:
    species = (GEANT4_IDS if geant4 else EDITOR_IDS).get(number)
    if species is None:
        return _by_code(number) if not 0 <= number < _SMALLEST_CODE else None
    if species is not Species.ION:
        return _particle(species)
    if geant4 and number == 11:  # "12C" in the editor's list
        return Particle(species, 12, 6)
    return Particle(species, ref.a or 12, ref.z or 6)


def _by_code(code: int) -> Particle | None:
    species = PDG_CODES.get(code)
    if species is not None:
        return _particle(species)
    charge, rest = divmod(code - _NUCLEUS, 10**4)
    nucleons, excited = divmod(rest, 10)
    if excited or not 1 <= charge <= nucleons or charge > _MOST_Z or nucleons > _MOST_A:
        return None
    return Particle(Species.ION, nucleons, charge)


def _particle(species: Species) -> Particle:
    return Particle(species, species.value.a, species.value.z)
