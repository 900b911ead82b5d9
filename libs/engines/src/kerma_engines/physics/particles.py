"""Particles that projects refer to, and their names in each engine.

Projects number particles in two ways: as SHIELD-HIT12A does (JPART, with 26 added for electrons),
and with a short list in projects drawn in Geant4 mode. Names and numbers come from the manuals of
SHIELD-HIT12A, FLUKA and TOPAS (Geant4); ``pdg`` is the Particle Data Group's number.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

from pydantic import Field

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


class ParticleRef(Model):
    """A particle as the project names it; ``a`` and ``z`` are used for ions only."""

    id: Annotated[int, Whole]
    name: Name = ""
    a: Annotated[int, Whole, Field(ge=-300, le=300)] | None = None
    z: Annotated[int, Whole, Field(ge=-120, le=120)] | None = None


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
    """Return the particle for an editor id. Raises KeyError for an unknown id."""
    species = (GEANT4_IDS if geant4 else EDITOR_IDS)[ref.id]
    if species is not Species.ION:
        return Particle(species, species.value.a, species.value.z)
    if geant4 and ref.id == 11:  # "12C" in the editor's list
        return Particle(species, 12, 6)
    return Particle(species, ref.a or 12, ref.z or 6)
