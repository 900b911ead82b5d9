"""Write materials of a project as MATERIAL, COMPOUND, MAT-PROP and ASSIGNMA cards.

FLUKA's own materials are used where a zone overrides nothing. Others are composed of elements whose
names FLUKA's library of low-energy neutron data knows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kerma_engines.fluka.convert.cards import card
from kerma_engines.physics.composition import composition
from kerma_engines.project.source import Overrides, material_path

if TYPE_CHECKING:
    from kerma_engines.adapter.conversion import Verdict
    from kerma_engines.project.source import ZoneMaterial

BLACK_HOLE = "BLCKHOLE"

_PREDEFINED = {
    0: BLACK_HOLE,
    1000: "VACUUM",
    103: "ADTISSUE",
    104: "AIR",
    119: "BONECOMP",
    120: "BONECORT",
    179: "KAPTON",
    201: "MUSCLESK",
    202: "MUSCLEST",
    216: "PLASCINT",
    221: "POLYETHY",
    223: "PMMA",
    226: "POLYSTYR",
    276: "WATER",
}

_PREDEFINED_ELEMENTS = (
    {1: "HYDROGEN", 2: "HELIUM", 4: "BERYLLIU", 6: "CARBON", 7: "NITROGEN", 8: "OXYGEN"}
    | {11: "SODIUM", 12: "MAGNESIU", 13: "ALUMINUM", 14: "SILICON", 18: "ARGON", 20: "CALCIUM"}
    | {22: "TITANIUM", 26: "IRON", 28: "NICKEL", 29: "COPPER", 47: "SILVER", 50: "TIN"}
    | {73: "TANTALUM", 74: "TUNGSTEN", 79: "GOLD", 80: "MERCURY", 82: "LEAD"}
)

_OTHER_ELEMENTS = (
    {3: "LITHIUM", 5: "BORON", 9: "FLUORINE", 10: "NEON", 15: "PHOSPHO", 16: "SULFUR"}
    | {17: "CHLORINE", 19: "POTASSIU", 21: "SCANDIUM", 23: "VANADIUM", 24: "CHROMIUM"}
    | {25: "MANGANES", 27: "COBALT", 30: "ZINC", 31: "GALLIUM", 32: "GERMANIU", 33: "ARSENIC"}
    | {35: "BROMINE", 36: "KRYPTON", 38: "STRONTIU", 39: "YTTRIUM", 40: "ZIRCONIU", 41: "NIOBIUM"}
    | {42: "MOLYBDEN", 48: "CADMIUM", 49: "INDIUM", 51: "ANTIMONY", 53: "IODINE", 54: "XENON"}
    | {55: "CESIUM", 56: "BARIUM", 57: "LANTHANU", 58: "CERIUM", 60: "NEODYMIU"}
    | {62: "SAMARIUM", 63: "EUROPIUM", 64: "GADOLINI", 65: "TERBIUM"}
    | {72: "HAFNIUM", 75: "RHENIUM", 77: "IRIDIUM", 78: "PLATINUM", 83: "BISMUTH"}
)


@dataclass(slots=True)
class Materials:
    """Names materials on request, and collects the cards that define them."""

    verdict: Verdict
    cards: list[str] = field(default_factory=list)
    _names: dict[tuple[int, Overrides], str] = field(default_factory=dict)
    _elements: set[int] = field(default_factory=set)

    def name(self, path: str, used: ZoneMaterial) -> str:
        """Return FLUKA's name of a zone's material; problems are recorded at ``path``."""
        key = (used.material.icru, used.overrides)
        if key not in self._names:
            self._names[key] = self._define(path, used)
        return self._names[key]

    def _define(self, path: str, used: ZoneMaterial) -> str:
        icru, overrides = used.material.icru, used.overrides
        if overrides.custom_stopping_power:
            place = f"{path}.materialPropertiesOverrides.customStoppingPower"
            self.verdict.refuse(place, "FLUKA calculates its own stopping powers")
        plain = overrides.density is None and overrides.average_ionisation_potential is None
        special = icru in (0, 1000)
        if special and not plain:
            place = f"{path}.materialPropertiesOverrides"
            self.verdict.refuse(place, "vacuum and black hole have no properties to change")
        known = _PREDEFINED.get(icru) or _PREDEFINED_ELEMENTS.get(icru)
        if known is not None and (plain or special):
            return known
        return self._new(path, used)

    def _new(self, path: str, used: ZoneMaterial) -> str:
        icru, overrides = used.material.icru, used.overrides
        made_of = composition(icru)
        if made_of is None:
            reason = f"FLUKA's composition of ICRU material {icru} is not known"
            self.verdict.refuse(material_path(path), reason)
            return "?"
        density = overrides.density or made_of.density
        name = f"MAT{len(self._names) + 1:05d}"
        missing = [z for z, _ in made_of.fractions if self._element(z) is None]
        if missing:
            reason = f"FLUKA has no neutron data for the elements of atomic number {missing}"
            self.verdict.refuse(material_path(path), reason)
            return "?"
        if len(made_of.fractions) == 1:
            z = made_of.fractions[0][0]
            self.cards.append(card("MATERIAL", [z, None, density], name))
            self.cards.append(card("LOW-MAT", [name], self._element(z) or ""))
        else:
            self.cards.append(card("MATERIAL", [None, None, density], name))
            self._compound(name, made_of.fractions)
        potential = overrides.average_ionisation_potential
        if potential is None and icru not in _PREDEFINED and icru not in _PREDEFINED_ELEMENTS:
            potential = made_of.excitation
        if potential is not None:
            self.cards.append(card("MAT-PROP", [None, None, potential, name]))
        return name

    def _compound(self, name: str, fractions: tuple[tuple[int, float], ...]) -> None:
        for start in range(0, len(fractions), 3):
            whats: list[float | str] = []
            for z, fraction in fractions[start : start + 3]:
                whats += [-fraction, self._element(z) or ""]
            self.cards.append(card("COMPOUND", whats, name))

    def _element(self, z: int) -> str | None:
        if z in _PREDEFINED_ELEMENTS:
            return _PREDEFINED_ELEMENTS[z]
        name = _OTHER_ELEMENTS.get(z)
        made_of = composition(z)
        if name is not None and made_of is not None and z not in self._elements:
            self._elements.add(z)
            self.cards.append(card("MATERIAL", [z, None, made_of.density], name))
        return name
