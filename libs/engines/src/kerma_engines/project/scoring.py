"""Detectors, filters and outputs of a project: what is scored, where and for which particles."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from itertools import chain, count
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from kerma_engines.fields import Count, FileName, Model, Name, Number, Positive
from kerma_engines.geometry.figures import Coordinate, Length, Placed
from kerma_engines.physics.particles import ParticleRef, Species
from kerma_engines.project.geant4_scoring import filter_parts, spectrum_axis

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from kerma_engines.physics.particles import Particle


class CylinderMesh(Model):
    """Bins in radius and z about ``position``; cm."""

    radius: Length
    inner_radius: Annotated[Coordinate, Field(ge=0)] = 0.0
    depth: Length
    radial_segments: Count = 1
    z_segments: Count = 1


class BoxMesh(Model):
    """Bins in x, y and z about ``position``; cm."""

    width: Length
    height: Length
    depth: Length
    x_segments: Count = 1
    y_segments: Count = 1
    z_segments: Count = 1


class ZoneRef(Model):
    """The zone in which a detector scores."""

    zone_uuid: str


class CylinderDetector(Placed):
    """Scores in a cylindrical mesh along z."""

    geometry_type: Literal["Cyl"]
    parameters: CylinderMesh

    @model_validator(mode="after")
    def _has_width(self) -> Self:
        if self.parameters.inner_radius >= self.parameters.radius:
            raise ValueError("innerRadius must be smaller than radius")
        return self

    @property
    def bins(self) -> int:
        """The number of bins."""
        return self.parameters.radial_segments * self.parameters.z_segments


class BoxDetector(Placed):
    """Scores in a Cartesian mesh."""

    geometry_type: Literal["Mesh"]
    parameters: BoxMesh

    @property
    def bins(self) -> int:
        """The number of bins."""
        mesh = self.parameters
        return mesh.x_segments * mesh.y_segments * mesh.z_segments


class ZoneDetector(Placed):
    """Scores in one zone."""

    geometry_type: Literal["Zone"]
    parameters: ZoneRef
    bins: Literal[1] = 1


class AllDetector(Placed):
    """Scores everywhere."""

    geometry_type: Literal["All"]
    bins: Literal[1] = 1


class Detector(Model):
    """A place to score in."""

    uuid: str
    name: Name = ""
    geometry_data: Annotated[
        CylinderDetector | BoxDetector | ZoneDetector | AllDetector,
        Field(discriminator="geometry_type"),
    ]


class RuleKeyword(StrEnum):
    """The property that a filter tests."""

    A = "A"
    AMASS = "AMASS"
    AMU = "AMU"
    Z = "Z"
    E = "E"
    ENUC = "ENUC"
    EAMU = "EAMU"
    GEN = "GEN"
    ID = "ID"
    NPRIM = "NPRIM"


class Rule(Model):
    """One condition; a particle passes a filter when it meets all of them."""

    keyword: RuleKeyword
    operator: Literal["==", "!=", "<", "<=", ">", ">="]
    value: Number


_NOT_WRITTEN = {"particleKey", "particle_key"}  # position in the JSON list


class Filter(Model):
    """The particles to score: selected by rules, one species, or any of several."""

    uuid: str
    name: Name
    rules: tuple[Rule, ...] = ()
    particle: ParticleRef | None = None
    particles: Annotated[tuple[ParticleRef, ...], Field(max_length=64)] = ()
    particle_key: str = "particle"

    @model_validator(mode="before")
    @classmethod
    def _of_geant4(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and "filterType" in value:
            kept = {key: value[key] for key in ("uuid", "name") if key in value}
            return {**kept, **filter_parts(value)}
        if isinstance(value, Mapping):
            return {key: item for key, item in value.items() if key not in _NOT_WRITTEN}
        return value

    @model_validator(mode="after")
    def _selects(self) -> Self:
        if not self.rules and self.particle is None and not self.particles:
            raise ValueError("needs rules or a particle")
        return self


_LONGEST_SELECTION = 120


def filter_labels(
    filters: tuple[Filter, ...], resolve: Callable[[ParticleRef], Particle]
) -> dict[str, str]:
    """Return a label per filter id: its name, with what it selects if others of that name differ.

    A selection too long to show, or a label that another name has already, gets a number.
    """
    selections = {known.uuid: _selection(known, resolve) for known in filters}
    differing: dict[str, dict[str, None]] = {}
    for known in filters:
        differing.setdefault(known.name, {})[selections[known.uuid]] = None
    labels: dict[tuple[str, str], str] = {
        (name, what): name
        for name, several in differing.items()
        for what in several
        if len(several) == 1
    }
    taken = set(labels.values())
    for name, several in differing.items():
        for position, what in enumerate(several if len(several) > 1 else (), start=1):
            shown = [f"{name} ({what})"] if len(what) <= _LONGEST_SELECTION else []
            numbered = (f"{name} (no. {number})" for number in count(position))
            labels[name, what] = next(text for text in chain(shown, numbered) if text not in taken)
            taken.add(labels[name, what])
    return {known.uuid: labels[known.name, selections[known.uuid]] for known in filters}


def _selection(known: Filter, resolve: Callable[[ParticleRef], Particle]) -> str:
    particles = [resolve(ref) for ref in (*known.particles, known.particle) if ref is not None]
    kinds = [
        f"ion A={p.a} Z={p.z}" if p.species is Species.ION else p.kind.label for p in particles
    ]
    rules = [f"{rule.keyword}{rule.operator}{_shortest(rule.value)}" for rule in known.rules]
    return ", ".join(filter(None, (" or ".join(kinds), *rules)))


def _shortest(value: float) -> str:
    """Return the shortest text that only this number has."""
    return repr(value).removesuffix(".0")


class DiffType(StrEnum):
    """The quantity of a differential axis."""

    ANGLE = "ANGLE"
    DEDX = "DEDX"
    E = "E"
    EAMU = "EAMU"
    ENUC = "ENUC"
    MDEDX = "MDEDX"
    TL = "TL"
    Z = "Z"
    ZEFF = "Zeff"
    Z2BETA2 = "Z2Beta2"
    ZEFF2BETA2 = "Zeff2Beta2"


class Modifier(Model):
    """A differential axis."""

    diff_type: DiffType
    lower_limit: Number
    upper_limit: Number
    bins_number: Count
    is_log: bool = False

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.upper_limit <= self.lower_limit:
            raise ValueError("upperLimit must be greater than lowerLimit")
        if self.is_log and self.lower_limit <= 0:
            raise ValueError("lowerLimit must be positive on a logarithmic axis")
        return self


class Keyword(StrEnum):
    """The scored quantity, as the editor spells it."""

    NEUTRON_EQUIVALENT = "1MeVNEq"
    ALANINE = "Alanine"
    AVG_BETA = "AvgBeta"
    AVG_ENERGY = "AvgEnergy"
    DOSE = "Dose"
    DOSE_GY = "DoseGy"
    DOSE_EQUIVALENT = "DoseEqv"
    DDD = "DDD"
    DLET = "dLET"
    TLET = "tLET"
    DQ = "dQ"
    TQ = "tQ"
    DQEFF = "dQeff"
    TQEFF = "tQeff"
    EQV_DOSE = "EqvDose"
    NEQV_DOSE = "NEqvDose"
    NKERMA = "NKERMA"
    ENERGY = "Energy"
    FLUENCE = "Fluence"
    MATERIAL = "MATERIAL"
    ZONE = "ZONE"
    RHO = "Rho"
    DZ2BETA2 = "dZ2Beta2"
    TZ2BETA2 = "tZ2Beta2"
    DZEFF2BETA2 = "dZeff2Beta2"
    TZEFF2BETA2 = "tZeff2Beta2"
    SPECTRUM = "KineticEnergySpectrum"


def _given(value: object) -> object:
    # The editor writes an empty text for no choice.
    return None if value == "" else value


Chosen = Annotated[str | None, BeforeValidator(_given)]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,32}$")]


class Quantity(Model):
    """One page of an output."""

    name: Name = ""
    keyword: Keyword
    filter: Chosen = None
    modifiers: tuple[Modifier, ...] = Field(default=(), max_length=2)
    rescale: Number | None = None
    offset: Number | None = None
    primaries: Positive | None = None
    material_uuid: Chosen = None
    medium: Annotated[Word | None, BeforeValidator(_given)] = None

    @model_validator(mode="before")
    @classmethod
    def _spectrum(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and value.get("keyword") == Keyword.SPECTRUM:
            return {**value, "modifiers": [spectrum_axis(value)]}
        return value

    @property
    def scored(self) -> Keyword:
        """The keyword; a kinetic energy spectrum is fluence with its axis as a modifier."""
        return Keyword.FLUENCE if self.keyword is Keyword.SPECTRUM else self.keyword


class Output(Model):
    """A scoring output: quantities on one detector, in one result file."""

    uuid: str
    name: FileName
    detector_uuid: str
    quantities: tuple[Quantity, ...] = Field(min_length=1)
    trace: bool = False
    trace_filter: str | None = None
