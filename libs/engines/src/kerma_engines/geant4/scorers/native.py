"""The quantities of Geant4's scoring meshes: what each counts, and in which unit.

One entry per command ``/score/quantity/KIND``; arguments and meanings are those of Geant4 11.4
(``G4ScoreQuantityMessenger::QuantityCommands`` and the class named with each entry). Sums are over
the steps or tracks of a primary; pages divide them by the number of primaries.
"""

from __future__ import annotations

from dataclasses import dataclass

_FALSE = {"n", "no", "0", "f", "false"}
_TRUE = {"y", "yes", "1", "t", "true"}


@dataclass(frozen=True, slots=True)
class NativeQuantity:
    """A quantity: ``page`` names its pages, ``unit`` is Geant4's default, empty for a count.

    ``arguments`` are those after the scorer's name, as in ``macro.commands``; the unit is
    argument ``unit_at`` (counted from 0). Argument ``by_area`` says whether to divide by the area.
    ``charged_only``: neutral particles contribute nothing. ``needs_mesh``, ``needs_box``: Geant4
    scores it only on meshes, or on box meshes.
    """

    source: str
    page: str
    meaning: str
    arguments: str = ""
    unit: str = ""
    unit_at: int | None = None
    by_area: int | None = None
    charged_only: bool = False
    needs_mesh: bool = False
    needs_box: bool = False

    def unit_of(self, arguments: list[str]) -> str:
        """Return Geant4's name of the unit that these arguments select; "" for a number."""
        if self.by_area is not None and _is_false(arguments, self.by_area):
            return ""
        if self.unit_at is not None and len(arguments) > self.unit_at:
            return _SHORT.get(arguments[self.unit_at], arguments[self.unit_at])
        return self.unit

    def conflict(self, arguments: list[str]) -> str:
        """Return why Geant4 would not do what these arguments say, or ""."""
        if self.source == "G4PSTrackLength":
            return _wrong_unit(self.unit_of(arguments), arguments)
        if self.by_area is not None and _is_false(arguments, self.by_area) and len(arguments) > 3:
            return "a quantity that is not divided by the area has no unit"
        if self.by_area is not None and arguments and arguments[0] not in {"0", "1", "2"}:
            return "the direction is 0 (both), 1 (in) or 2 (out)"
        return ""


def _wrong_unit(unit: str, arguments: list[str]) -> str:
    """Return why the unit does not fit a track length times energy, or over velocity."""
    energy, velocity = (_is_true(arguments, place) for place in (1, 2))
    what, _, per = unit.rpartition("_")
    if bool(what) == energy and (per in _TIMES) == velocity:
        return ""
    example = ("MeV_s" if velocity else "MeV_mm") if energy else "s" if velocity else "mm"
    return f"the unit must fit the flags, such as {example}, and is {unit}"


def _is_true(arguments: list[str], place: int) -> bool:
    return len(arguments) > place and arguments[place].lower() in _TRUE


def _is_false(arguments: list[str], place: int) -> bool:
    return len(arguments) > place and arguments[place].lower() in _FALSE


_TIMES = {"s", "ms", "us", "ns", "ps", "min", "h", "d", "y"}

#: Geant4 names these units by symbol, even where a command gives the full name.
_SHORT = {
    "gray": "Gy",
    "eplus": "e+",
    "coulomb": "C",
    "electronvolt": "eV",
    "kiloelectronvolt": "keV",
    "megaelectronvolt": "MeV",
    "gigaelectronvolt": "GeV",
    "teraelectronvolt": "TeV",
    "petaelectronvolt": "PeV",
    "millielectronVolt": "meV",
    "joule": "J",
    "parsec": "pc",
    "kilometer": "km",
    "meter": "m",
    "centimeter": "cm",
    "millimeter": "mm",
    "micrometer": "um",
    "nanometer": "nm",
    "angstrom": "Ang",
    "fermi": "fm",
    "second": "s",
    "millisecond": "ms",
    "microsecond": "us",
    "nanosecond": "ns",
    "picosecond": "ps",
}
_SHORT |= {
    f"{energy}_{long}": f"{energy}_{short}"
    for energy in ("eV", "keV", "MeV")
    for long, short in (
        ("millimeter", "mm"),
        ("centimeter", "cm"),
        ("meter", "m"),
        ("second", "s"),
        ("millisecond", "ms"),
    )
}

QUANTITIES = {
    "energyDeposit": NativeQuantity(
        "G4PSEnergyDeposit", "ENERGY", "energy deposited", "E?", "MeV", 0, charged_only=True
    ),
    "doseDeposit": NativeQuantity(
        "G4PSDoseDeposit", "DOSE-GY", "energy deposited per mass", "G?", "Gy", 0, charged_only=True
    ),
    "cellCharge": NativeQuantity(
        "G4PSCellCharge",
        "CHARGE",
        "charge that enters and starts, minus charge that leaves",
        "Q?",
        "e+",
        0,
        charged_only=True,
    ),
    "cellFlux": NativeQuantity(
        "G4PSCellFlux", "FLUENCE", "track length per volume", "F? b?", "percm2", 0, needs_mesh=True
    ),
    "passageCellFlux": NativeQuantity(
        "G4PSPassageCellFlux",
        "PASSAGE-FLUENCE",
        "track length per volume, of tracks that enter and leave",
        "F?",
        "percm2",
        0,
        needs_mesh=True,
    ),
    "trackLength": NativeQuantity(
        "G4PSTrackLength", "TRACK-LENGTH", "track length", "b? b? b? W?", "mm", 3
    ),
    "passageTrackLength": NativeQuantity(
        "G4PSPassageTrackLength",
        "PASSAGE-TRACK-LENGTH",
        "track length, of tracks that enter and leave",
        "b? L?",
        "mm",
        1,
    ),
    "flatSurfaceCurrent": NativeQuantity(
        "G4PSFlatSurfaceCurrent",
        "SURFACE-CURRENT",
        "crossings of the face at -z, per area by default",
        "i? b? b? F?",
        "percm2",
        3,
        by_area=2,
        needs_box=True,
    ),
    "flatSurfaceFlux": NativeQuantity(
        "G4PSFlatSurfaceFlux",
        "SURFACE-FLUENCE",
        "crossings of the face at -z over the cosine, per area by default",
        "i? b? b? F?",
        "percm2",
        3,
        by_area=2,
        needs_box=True,
    ),
    "passageCellCurrent": NativeQuantity(
        "G4PSPassageCellCurrent", "PASSAGE-CURRENT", "tracks that enter and leave", "b?"
    ),
    "volumeFlux": NativeQuantity(
        "G4PSVolumeFlux",
        "VOLUME-FLUX",
        "tracks that enter (1) or leave (2), through all faces, optionally over the cosine",
        "0|1? 1|2?",  # Geant4 reads words such as true as 0
    ),
    "nOfTrack": NativeQuantity(
        "G4PSTrackCounter", "TRACKS", "tracks that enter (1), leave (2) or both (0)", "i? b?"
    ),
    "population": NativeQuantity(
        "G4PSPopulation", "POPULATION", "tracks with a step in the bin, each once", "b?"
    ),
    "nOfStep": NativeQuantity("G4PSNofStep", "STEPS", "steps", "b?"),
    "nOfSecondary": NativeQuantity(
        "G4PSNofSecondary", "SECONDARIES", "secondary particles that start in the bin"
    ),
    "nOfCollision": NativeQuantity(
        "G4PSNofCollision", "COLLISIONS", "steps that do not end at a boundary", "b?"
    ),
    "nOfTerminatedTrack": NativeQuantity(
        "G4PSTermination", "TERMINATED-TRACKS", "tracks that end in the bin", "b?"
    ),
    "minKinEAtGeneration": NativeQuantity(
        "G4PSMinKinEAtGeneration",
        "ENERGY-AT-GENERATION",
        "lowest kinetic energy with which a secondary starts in the bin, 0 without one",
        "E?",
        "MeV",
        0,
    ),
}
