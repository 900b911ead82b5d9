"""Write outputs as scorers, one CSV file each; averages take two.

Scorers and their quantities are those of the TOPAS user guide ("Volume Scorers", "Binning by
Energy", "Statistical Information"). An average is the quotient of two sums over primaries:

* The mean energy is EnergyFluence over Fluence, both sums of step lengths.

* ProtonLET is itself a quotient, of which a task's file contains only the result. To merge tasks it
is weighted by its denominator: track length (Fluence) for the track-averaged LET, which is exact;
for the dose-averaged LET the energy deposited by protons, which lacks that of their electrons, a
nearly constant part.

TOPAS divides the first moment of ProtonLET but not the second: a standard deviation would be that
of the numerator. Only spatial bins are divided, so ProtonLET can't be binned in energy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kerma_engines.adapter.conversion import Names, map_output
from kerma_engines.project.scoring import DiffType, Keyword
from kerma_engines.topas.convert.detectors import WITHOUT_VOLUME, Scoreboards
from kerma_engines.topas.convert.filters import Filtered, filtered
from kerma_engines.topas.convert.geometry import number
from kerma_engines.topas.read.pages import entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kerma_engines.adapter.conversion import Verdict
    from kerma_engines.adapter.port import Output as MappedOutput
    from kerma_engines.project.project import Project
    from kerma_engines.project.scoring import Modifier, Quantity
    from kerma_engines.topas.convert.geometry import Components
    from kerma_engines.topas.read.pages import Entry


@dataclass(frozen=True, slots=True)
class _Recipe:
    """A scorer, and the scorer whose sum is its denominator or its weight when tasks are merged."""

    scorer: str
    over: str = ""
    weighted_by: str = ""
    let_of: str = ""

    @property
    def report(self) -> str:
        """The statistics reported in every bin."""
        return '1 "Sum"' if self.partner else '2 "Mean" "Standard_Deviation"'

    @property
    def partner(self) -> str:
        """The second scorer, if any."""
        return self.over or self.weighted_by


_RECIPES = {
    Keyword.DOSE: _Recipe("DoseToMedium"),
    Keyword.DOSE_GY: _Recipe("DoseToMedium"),
    Keyword.ENERGY: _Recipe("EnergyDeposit"),
    Keyword.FLUENCE: _Recipe("Fluence"),
    Keyword.AVG_ENERGY: _Recipe("EnergyFluence", over="Fluence"),
    Keyword.DLET: _Recipe("ProtonLET", weighted_by="EnergyDeposit", let_of="Dose"),
    Keyword.TLET: _Recipe("ProtonLET", weighted_by="Fluence", let_of="Track"),
}
_REASONS = {
    Keyword.DOSE_EQUIVALENT: "its AmbientDoseEquivalent needs a table of conversion coefficients",
    Keyword.EQV_DOSE: "its AmbientDoseEquivalent needs a table of conversion coefficients",
    Keyword.NEQV_DOSE: "its AmbientDoseEquivalent needs a table of conversion coefficients",
}
_SETTINGS = ("rescale", "offset", "primaries", "material_uuid", "medium")


@dataclass(frozen=True, slots=True)
class Scored:
    """Parameters of all scorers, the output map, and the files of every quantity by output id."""

    lines: tuple[str, ...]
    outputs: tuple[MappedOutput, ...]
    files: dict[str, list[Entry]]


def scorers(project: Project, components: Components | None, verdict: Verdict) -> Scored:
    """Return the scorers of all outputs; problems are recorded."""
    names = Names()
    boards = Scoreboards(project, components, verdict)
    labels = project.filter_labels
    lines = list(boards.lines)
    outputs: list[MappedOutput] = []
    files: dict[str, list[Entry]] = {}
    for k, output in enumerate(project.outputs):
        path = f"scoringManager.outputs[{k}]"
        if output.trace:
            verdict.refuse(f"{path}.trace", "traces of particles can't be read back")
        files[output.uuid] = []
        stem = output.name.replace(".", "_")  # parameters, named like files, have no dots
        for j, quantity in enumerate(output.quantities):
            scorer = _Scorer(
                project, quantity, names.give(f"{stem}_{j}", "score"), f"{path}.quantities[{j}]"
            )
            scorer.partner = (
                names.give(f"{scorer.name}_over", "score") if scorer.has_partner else ""
            )
            everywhere = output.detector_uuid in boards.everywhere
            lines += scorer.lines(
                boards.names[output.detector_uuid], verdict, everywhere=everywhere
            )
            files[output.uuid].append(scorer.entry())
        first = files[output.uuid][0]["file"]
        mapped = map_output(output.uuid, output.name, first, output.quantities, labels)
        outputs.append(mapped)
    return Scored(tuple(lines), tuple(outputs), files)


@dataclass(slots=True)
class _Scorer:
    """The scorers of one quantity."""

    project: Project
    quantity: Quantity
    name: str
    path: str
    partner: str = ""

    @property
    def has_partner(self) -> bool:
        recipe = _RECIPES.get(self.quantity.scored)
        return recipe is not None and bool(recipe.partner)

    def entry(self) -> Entry:
        """Return the files of its page."""
        recipe = _RECIPES.get(self.quantity.scored, _Recipe(""))
        return entry(self.name, self.partner, divided=bool(recipe.over))

    def lines(self, component: str, verdict: Verdict, *, everywhere: bool) -> Iterator[str]:
        """Return the parameters; problems are recorded."""
        quantity, path = self.quantity, self.path
        recipe = _RECIPES.get(quantity.scored)
        if recipe is None:
            known = ", ".join(str(keyword) for keyword in _RECIPES)
            why = _REASONS.get(quantity.keyword, f"only {known}")
            reason = f"{quantity.keyword} is not supported for TOPAS: {why}"
            verdict.refuse(f"{path}.keyword", reason)
            return
        if everywhere and quantity.scored not in WITHOUT_VOLUME:
            reason = f"{quantity.keyword} is per volume or mass, which a detector everywhere lacks"
            verdict.refuse(f"{path}.keyword", reason)
        for setting in _SETTINGS:
            if getattr(quantity, setting) is not None:
                verdict.refuse(f"{path}.{setting}", "TOPAS has no such setting")
        chosen = self._filtered(verdict)
        tests = [*_energies(quantity, chosen, path, verdict)]
        if recipe.let_of:
            self._check_let(chosen, verdict)
        if quantity.keyword is Keyword.AVG_ENERGY:
            verdict.note(path, "TOPAS takes energies at the ends of steps, not along them")
        parts = [(self.name, recipe.scorer), (self.partner, recipe.partner)]
        for name, scorer in parts[: 2 if recipe.partner else 1]:
            yield from _output(name, scorer, component, recipe.report)
            if scorer == "ProtonLET":
                yield f's:Sc/{name}/WeightBy = "{recipe.let_of}"'
            yield from chosen.lines(f"Sc/{name}")
            yield from (test.format(scorer=f"Sc/{name}") for test in tests)

    def _filtered(self, verdict: Verdict) -> Filtered:
        if self.quantity.filter is None:
            return Filtered()
        known = self.project.filter(self.quantity.filter)
        return filtered(self.project, known, f"{self.path}.filter", verdict)

    def _check_let(self, chosen: Filtered, verdict: Verdict) -> None:
        if not chosen.is_protons:
            reason = "TOPAS scores the LET of protons only; filter them"
            verdict.refuse(f"{self.path}.filter", reason)
        if chosen.limits_energy:
            reason = "TOPAS does not score LET by energy"
            verdict.refuse(f"{self.path}.filter", reason)
        if self.quantity.modifiers:
            verdict.refuse(f"{self.path}.modifiers", "TOPAS does not score LET by energy")


def _output(name: str, scorer: str, component: str, report: str) -> Iterator[str]:
    yield f's:Sc/{name}/Quantity = "{scorer}"'
    yield f's:Sc/{name}/Component = "{component}"'
    yield f"sv:Sc/{name}/Report = {report}"
    yield f's:Sc/{name}/OutputType = "csv"'
    yield f's:Sc/{name}/OutputFile = "{name}"'
    yield f's:Sc/{name}/IfOutputFileAlreadyExists = "Overwrite"'


def _energies(quantity: Quantity, chosen: Filtered, path: str, verdict: Verdict) -> Iterator[str]:
    """Return energy bins of a differential axis, or a filter's single bin.

    ``{scorer}`` in them is a placeholder for the scorer's name.
    """
    low, high, count = chosen.low, chosen.high, 1
    if quantity.modifiers:
        reason = _why_no_bins(quantity.modifiers, chosen)
        if reason:
            verdict.refuse(f"{path}.modifiers", reason)
            return
        axis = quantity.modifiers[0]
        if chosen.low > axis.lower_limit or chosen.high < axis.upper_limit:
            reason = "TOPAS can't filter by energy within what it bins by energy"
            verdict.refuse(f"{path}.filter", reason)
        low, high, count = axis.lower_limit, axis.upper_limit, axis.bins_number
        verdict.note(f"{path}.modifiers", "TOPAS scores per bin of energy, not per MeV")
    elif not chosen.limits_energy:
        return
    yield f"i:{{scorer}}/EBins = {count}"
    yield f"d:{{scorer}}/EBinMin = {number(low)} MeV"
    yield f"d:{{scorer}}/EBinMax = {number(high)} MeV"
    yield 's:{scorer}/EBinEnergy = "PreStep"'


def _why_no_bins(modifiers: tuple[Modifier, ...], chosen: Filtered) -> str:
    """Return what TOPAS lacks for these differential axes, or ""."""
    axis = modifiers[0]
    if len(modifiers) > 1:
        return "TOPAS bins by one quantity beside space"
    if axis.is_log:
        return "TOPAS bins energies linearly"
    nucleon = chosen.particle is not None and chosen.particle.a == 1
    if axis.diff_type is DiffType.ENUC and nucleon:
        return ""
    if axis.diff_type is not DiffType.E:
        return f"TOPAS bins by energy (E) only, not by {axis.diff_type}"
    return "" if axis.lower_limit >= 0 else "TOPAS bins from energies of 0 on"
