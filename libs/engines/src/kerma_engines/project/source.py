"""The beam, physics, materials and zones of a project."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from kerma_engines.fields import MAX_PRIMARIES, Energy, Model, Name, Number, Positive, Text, Whole
from kerma_engines.geometry.figures import Coordinate, Geometry, Vector
from kerma_engines.geometry.operand import Operand
from kerma_engines.physics.particles import ParticleRef

if TYPE_CHECKING:
    from typing import Self


class Attachment(Model):
    """A file embedded in the project."""

    name: Name = ""
    value: Text = ""


class Shape(StrEnum):
    """Lateral shape of the beam."""

    GAUSSIAN = "Gaussian"
    SQUARE = "Flat square"
    CIRCULAR = "Flat circular"


class Sigma(Model):
    """Beam extent: standard deviations, half sides, or (y) the radius; cm."""

    type: Shape = Shape.GAUSSIAN
    x: Annotated[Coordinate, Field(ge=0)] = 0.0
    y: Annotated[Coordinate, Field(ge=0)] = 0.0


class Sad(Model):
    """Source-to-axis distance: none, one for both planes, or one for each; cm."""

    type: Literal["none", "single", "double"] = "none"
    x: Coordinate = 0.0
    y: Coordinate = 0.0


class Divergence(Model):
    """Angular spread (mrad) and distance to the focal point (cm)."""

    x: Number = 0.0
    y: Number = 0.0
    distance_to_focal: Coordinate = 0.0


TAILS = 5.0
"""How many standard deviations a beam's spectrum extends from its energy."""


class Cut(Enum):
    """How much of a beam's spectrum its cut-offs remove."""

    NOTHING = auto()
    PART = auto()
    ALL = auto()


class Side(Enum):
    """A cut-off of a beam: its key in a project."""

    LOW = "energyLowCutoff"
    HIGH = "energyHighCutoff"


class Beam(Model):
    """The source. Energies are in ``energy_unit``; ``energy_spread`` is one sigma."""

    particle: ParticleRef
    energy: Annotated[Energy, Field(gt=0)]
    energy_unit: Literal["MeV", "MeV/nucl"] = "MeV"
    energy_spread: Energy = 0.0
    energy_low_cutoff: Energy | None = None
    energy_high_cutoff: Energy | None = None
    position: Vector = (0.0, 0.0, 0.0)
    direction: Vector = (0.0, 0.0, 1.0)
    sigma: Sigma = Sigma()
    sad: Sad = Sad()
    divergence: Divergence = Divergence()
    number_of_particles: Annotated[int, Whole, Field(ge=1, le=MAX_PRIMARIES)]
    source_type: Literal["simple", "file"] = "simple"
    source_file: Attachment = Attachment()

    @model_validator(mode="after")
    def _has_direction(self) -> Self:
        if math.hypot(*self.direction) < 1e-9:
            raise ValueError("direction must not be zero")
        return self

    @property
    def cosines(self) -> tuple[float, float, float]:
        """The unit vector along the beam."""
        norm = math.hypot(*self.direction)
        x, y, z = (component / norm for component in self.direction)
        return (x, y, z)

    @property
    def cutoffs(self) -> tuple[float, float]:
        """The lowest and highest energy, in the beam's unit; infinity without an upper limit."""
        return self.energy_low_cutoff or 0.0, self.energy_high_cutoff or math.inf

    @property
    def cut(self) -> Cut:
        """How much of the spectrum the cut-offs remove."""
        return self.cut_of(self.energy, self.energy_spread)[0]

    def cut_of(self, energy: float, spread: float) -> tuple[Cut, Side]:
        """Return how much of a spectrum the cut-offs remove, and the cut-off that removes it.

        ``energy`` and its standard deviation ``spread`` are in the beam's unit. Energies below 0
        are not part of a spectrum.
        """
        low, high = self.cutoffs
        tail = TAILS * spread
        lowest, highest = max(energy - tail, 0.0), energy + tail
        if low > highest or low >= high:
            return Cut.ALL, Side.LOW
        if high < lowest:
            return Cut.ALL, Side.HIGH
        if highest > high:
            return Cut.PART, Side.HIGH
        return Cut.PART if low > lowest else Cut.NOTHING, Side.LOW


class StoppingPowerFile(Model):
    """A stopping power table embedded in the project."""

    name: Name
    content: Text


class Physics(Model):
    """Transport settings, in SHIELD-HIT12A's terms."""

    energy_loss: Annotated[Number, Field(gt=0, le=1)] = 0.03
    enable_nuclear_reactions: Annotated[bool, Field(strict=True)] = True
    energy_model_straggling: Literal["Gaussian", "Vavilov", "no straggling"] = "Vavilov"
    multiple_scattering: Literal["Gaussian", "Moliere", "no scattering"] = "Moliere"
    stopping_power_table: Name | None = None
    available_stopping_power_files: dict[str, StoppingPowerFile] = Field(default_factory=dict)


class Material(Model):
    """A material of the ICRU list. ``density`` is shown by the editor, and not an override."""

    uuid: str
    name: Name = ""
    icru: Annotated[int, Whole, Field(ge=0, le=9999)]
    density: Annotated[Number, Field(ge=0, le=1e6)] = 0.0

    @property
    def is_black_hole(self) -> bool:
        """Whether it stops every particle."""
        return self.icru == 0

    @property
    def is_vacuum(self) -> bool:
        """Whether nothing interacts in it."""
        return self.icru == 1000


class Overrides(Model):
    """What a zone overrides in its material: g/cm3, eV, stopping power table."""

    density: Positive | None = None
    average_ionisation_potential: Positive | None = None
    custom_stopping_power: bool | None = None


class Zone(Model):
    """A region of one material: the union of terms, each evaluated from left to right."""

    uuid: str = ""
    name: Name = ""
    material_uuid: str
    material_properties_overrides: Overrides = Overrides()
    custom_material: Material | None = None
    union_operations: tuple[Annotated[tuple[Operand, ...], Field(min_length=1)], ...] = Field(
        min_length=1
    )


class World(Model):
    """The zone around all others."""

    uuid: str = ""
    name: Name = "World"
    material_uuid: str
    material_properties_overrides: Overrides = Overrides()
    custom_material: Material | None = None
    geometry_data: Geometry


class ModulatorPlace(Model):
    """The zone that contains the modulator."""

    zone_uuid: str


class ModulatorGeometry(Model):
    """The place of the modulator."""

    parameters: ModulatorPlace


class Modulator(Model):
    """A beam modulator: thicknesses from a file, used in one zone."""

    geometry_data: ModulatorGeometry
    source_file: Attachment
    simulation_method: Literal["modulus", "sampling"] = "modulus"
    interpretation_mode: Literal["material", "vacuum", "vacumm"] = "material"


def material_path(path: str) -> str:
    """Return the JSON path of the material of the zone, world or nested figure at ``path``."""
    return f"{path}.{'simulationMaterial' if path.startswith('figure') else 'materialUuid'}"


@dataclass(frozen=True, slots=True)
class ZoneMaterial:
    """A material as one zone uses it, with the zone's overrides."""

    material: Material
    overrides: Overrides
