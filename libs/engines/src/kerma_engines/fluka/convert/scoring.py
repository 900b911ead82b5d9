"""Write outputs as USRBIN, USRTRACK and AUXSCORE cards, and map their detectors to pages.

Detectors of one unit must be of one estimator, so an output has one unit, and a second one for
spectra if it has both. USRBIN scores deposited energy, dose and fluence, USRTRACK fluence over
kinetic energy in a region (manual, chapter 7). Fluence detectors name the particles that they
count; AUXSCORE restricts a score to particles, once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from kerma_engines.adapter.conversion import Names, map_output
from kerma_engines.fluka.convert.cards import card
from kerma_engines.fluka.convert.filters import PRIMARIES, Passing, passing
from kerma_engines.fluka.convert.places import (
    Everywhere,
    Mesh,
    Places,
    Region,
    binning,
    turned_cards,
)
from kerma_engines.fluka.read.pages import PageOf
from kerma_engines.physics.particles import Species
from kerma_engines.project.scoring import DiffType, Keyword

if TYPE_CHECKING:
    from kerma_engines.adapter.conversion import Verdict
    from kerma_engines.adapter.port import Output as MappedOutput
    from kerma_engines.fluka.convert.cards import What
    from kerma_engines.fluka.convert.places import Place
    from kerma_engines.geometry.csg import Layout
    from kerma_engines.project.project import Project
    from kerma_engines.project.scoring import Modifier, Output, Quantity

FIRST_UNIT = 21
_LAST_UNIT = 99

_GY_PER_MEV_PER_G = 1.602176634e-10  # exact since the SI of 2019
_GEV = 1e-3  # per MeV


@dataclass(frozen=True, slots=True)
class _Score:
    """The USRBIN score of a quantity, and its page in the form of other engines.

    ``density``: divided by the volume of a bin; others are totals per bin.
    """

    scored: str
    page: str
    unit: str
    factor: float = 1.0
    density: bool = True


_SCORES = {
    Keyword.DOSE: _Score("DOSE", "DOSE", "MeV/g/prim"),
    Keyword.DOSE_GY: _Score("DOSE", "DOSE-GY", "Gy/prim", _GY_PER_MEV_PER_G),
    Keyword.ENERGY: _Score("ENERGY", "ENERGY", "MeV/prim", density=False),
    Keyword.FLUENCE: _Score("ALL-PART", "FLUENCE", "/cm^2/prim"),
    Keyword.NEUTRON_EQUIVALENT: _Score("SI1MEVNE", "FLU-NEQV", "/cm^2/prim"),
}
_ROUTINE = "FLUKA needs a compiled routine (comscw or fluscw) to score {}"
_MAP = "FLUKA writes no maps of {}"
_CONVERSION = (
    "FLUKA's dose equivalents are fluence times coefficients, or rest on a quality factor of its "
    "own; neither is known to be {}"
)
_REASONS = (
    dict.fromkeys((Keyword.MATERIAL, Keyword.ZONE, Keyword.RHO), _MAP)
    | dict.fromkeys(
        (Keyword.DOSE_EQUIVALENT, Keyword.EQV_DOSE, Keyword.NEQV_DOSE, Keyword.ALANINE),
        _CONVERSION,
    )
    | {Keyword.NKERMA: "FLUKA has no {}: neutrons above 20 MeV deposit through what they produce"}
)
_WORDS = ("ENERGY", "EN-NUCL")
"""In place of a name these change the energies that all USRTRACK count by (manual, USRTRACK)."""

_COUNT_NEUTRONS = (None, "NEUTRON", "ALL-NEUT")
_SETTINGS = ("rescale", "offset", "primaries", "material_uuid", "medium")


@dataclass(slots=True)
class Scoring:
    """The cards, the output map, and the pages of every output by its unit."""

    cards: list[str] = field(default_factory=list)
    outputs: list[MappedOutput] = field(default_factory=list)
    pages: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def scoring_cards(project: Project, layout: Layout | None, verdict: Verdict) -> Scoring:
    """Return the scoring of all outputs; the file of an output is the number of its unit."""
    scoring = Scoring()
    labels = project.filter_labels
    writer = _Writer(project, Places(project, layout, verdict), verdict)
    for k, output in enumerate(project.outputs):
        unit = FIRST_UNIT + k
        path = f"scoringManager.outputs[{k}]"
        scoring.outputs.append(
            map_output(output.uuid, output.name, str(unit), output.quantities, labels)
        )
        scoring.pages[str(unit)] = writer.output(output, unit, path)
    scoring.cards = [*writer.places.cards, *writer.cards]
    if writer.next_unit > _LAST_UNIT + 1:
        reason = f"FLUKA has {_LAST_UNIT - FIRST_UNIT + 1} units; spectra beside others take one"
        verdict.refuse("scoringManager.outputs", reason)
    return scoring


class _Writer:
    """Writes cards of quantities; names of detectors have FLUKA's limit of eight characters."""

    def __init__(self, project: Project, places: Places, verdict: Verdict) -> None:
        self.cards: list[str] = []
        self.places = places
        self.next_unit = FIRST_UNIT + len(project.outputs)
        self._project = project
        self._verdict = verdict
        self._names = Names(longest=8)

    def output(self, output: Output, unit: int, path: str) -> list[dict[str, Any]]:
        """Return the pages of an output in the order of its quantities."""
        if output.trace:
            self._verdict.refuse(f"{path}.trace", "FLUKA does not trace particles into results")
        place = self.places.of(output.detector_uuid, f"{path}.detectorUuid")
        spectra = unit
        kinds = {bool(quantity.modifiers) for quantity in output.quantities}
        if len(kinds) > 1:
            spectra = self.next_unit
            self.next_unit += 1
        pages: list[dict[str, Any]] = []
        for j, quantity in enumerate(output.quantities):
            score = _Quantity(self._project, quantity, f"{path}.quantities[{j}]", self._verdict)
            name = self._name(quantity)
            chosen = score.passing()
            score.check(place)
            if chosen is not None and score.modifiers:
                score.check_neutrons(chosen)
            if place is None or chosen is None or score.known is None:
                continue
            second = self._names.give(name, "score") if chosen.secondaries else ""
            number = spectra if quantity.modifiers else unit
            for label, filtered in ((name, chosen), (second, Passing(PRIMARIES))):
                if label:
                    self._detector(score, place, number, label, filtered)
            pages.append(replace(score.page(place), unit=number, name=name, less=second).to_json())
        return pages

    def _name(self, quantity: Quantity) -> str:
        """Return a detector's name.

        It is neither a number, which cards take for an index, nor a card's keyword.
        """
        wanted = quantity.name or str(quantity.keyword)
        if quantity.modifiers and wanted.upper()[:8] in _WORDS:
            wanted = "spectrum"
        name = self._names.give(wanted, "score")
        return name if name[0].isalpha() else self._names.give(f"s{name}", "score")

    def _detector(
        self, score: _Quantity, place: Place, unit: int, name: str, chosen: Passing
    ) -> None:
        scored, only = score.scored(chosen)
        if score.modifiers and isinstance(place, Region):
            self._track(score.modifiers[0], place, unit, name, scored)
        else:
            kind, upper, lower = binning(place)
            self.cards += turned_cards(place, name)
            self.cards.append(card("USRBIN", [kind, scored, -unit, *upper], name))
            self.cards.append(card("USRBIN", lower, "&"))
        if only is not None:
            estimator = "USRTRACK" if score.modifiers else "USRBIN"
            self.cards.append(card("AUXSCORE", [estimator, only, None, name, name]))

    def _track(self, axis: Modifier, region: Region, unit: int, name: str, scored: str) -> None:
        scale = -1.0 if axis.is_log else 1.0
        whats: list[What] = [scale, scored, -unit, region.name, region.volume.value]
        self.cards.append(card("USRTRACK", [*whats, axis.bins_number], name))
        limits = (axis.upper_limit * _GEV, axis.lower_limit * _GEV)
        self.cards.append(card("USRTRACK", limits, "&"))


class _Quantity:
    """One quantity: the score, its particles, and what can't be expressed."""

    def __init__(self, project: Project, quantity: Quantity, path: str, verdict: Verdict) -> None:
        self.known = _SCORES.get(quantity.scored)
        self.modifiers = quantity.modifiers
        self._project = project
        self._quantity = quantity
        self._path = path
        self._verdict = verdict

    def passing(self) -> Passing | None:
        """Return the particles that pass the filter; None when it was refused."""
        if not self._quantity.filter:
            return Passing()
        known = self._project.filter(self._quantity.filter)
        return passing(self._project, known, f"{self._path}.filter", self._verdict)

    def check(self, place: Place | None) -> None:
        """Refuse quantities without a card; the place is None where it was refused."""
        keyword = self._quantity.keyword
        if self.known is None:
            reason = _REASONS.get(keyword, _ROUTINE).format(keyword)
            self._verdict.refuse(f"{self._path}.keyword", reason)
        elif isinstance(place, Everywhere) and self.known.density:
            reason = f"{keyword} is divided by a volume, which everything together has not"
            self._verdict.refuse(f"{self._path}.keyword", reason)
        for setting in _SETTINGS:
            if getattr(self._quantity, setting) is not None:
                self._verdict.refuse(f"{self._path}.{setting}", "FLUKA has no such setting")
        if self.modifiers and self.known is not None:
            self._check_axes(place)

    def _check_axes(self, place: Place | None) -> None:
        path = f"{self._path}.modifiers"
        kinds = [modifier.diff_type for modifier in self.modifiers]
        if self._quantity.scored is not Keyword.FLUENCE or kinds != [DiffType.E]:
            reason = "FLUKA scores fluence over kinetic energy (E), and nothing else over a range"
            self._verdict.refuse(path, reason)
        elif isinstance(place, Mesh):
            reason = "FLUKA scores spectra in zones, not in meshes"
            self._verdict.refuse(path, reason)
        elif self.modifiers[0].lower_limit < 0:
            self._verdict.refuse(path, "kinetic energies are not negative")

    def check_neutrons(self, chosen: Passing) -> None:
        """Refuse spectra of secondaries if it is unknown which neutrons must be subtracted."""
        beam = self._project.particle(self._project.beam.particle)
        neutrons = beam.species is Species.NEUTRON
        if chosen.secondaries and neutrons:
            reason = "FLUKA's slow neutrons come in groups, which don't separate those of the beam"
            self._verdict.refuse(f"{self._path}.filter", reason)
        elif chosen.particle in _COUNT_NEUTRONS or (chosen.particle == PRIMARIES and neutrons):
            text = "neutrons that FLUKA transports in groups are on a separate page"
            self._verdict.note(f"{self._path}.modifiers", text)

    def scored(self, chosen: Passing) -> tuple[str, str | int | None]:
        """Return what the detector scores, and the particles to which AUXSCORE restricts it."""
        assert self.known is not None
        fluence = self._quantity.scored is Keyword.FLUENCE
        if fluence and isinstance(chosen.particle, str):
            return chosen.particle, None
        return self.known.scored, chosen.particle

    def page(self, place: Place) -> PageOf:
        """Return the page of the quantity, without its detectors."""
        assert self.known is not None
        known = self.known
        page = PageOf(known.page, known.unit, factor=known.factor)
        if self.modifiers:
            axis = self.modifiers[0]
            limits = (axis.lower_limit, axis.upper_limit)
            # USRTRACK divides by the volume on its card, and counts per GeV.
            unit = known.unit.replace("/prim", "/MeV/prim")
            return replace(page, page_unit=unit, factor=_GEV, energy=limits)
        if isinstance(place, Everywhere):
            return replace(page, total=True)
        if isinstance(place, Region) and known.density:
            return replace(page, factor=known.factor / place.volume.value)
        if isinstance(place, Mesh) and not known.density:
            return replace(page, factor=place.first, step=place.step)
        return page
