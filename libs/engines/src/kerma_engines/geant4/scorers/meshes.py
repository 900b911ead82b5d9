"""Scoring meshes that a macro declares, and their scorers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from kerma_engines.geometry.figures import rotation_matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kerma_engines.geant4.scorers.quantities import DifferentialAxis
    from kerma_engines.geant4.scorers.rules import Choice, Condition


@dataclass(slots=True)
class Scorer:
    """A primitive scorer: ``kind`` is the last word of its command, ``unit`` Geant4's name.

    ``own`` scorers are Kerma's, with the differential axes ``axes``. ``rules`` select steps.
    ``neutral``: neutrons and photons count, though they are too few without data sets. ``line`` is
    that of the macro.
    """

    name: str
    kind: str
    unit: str = ""
    filtered: str = ""
    own: bool = False
    axes: tuple[DifferentialAxis, ...] = ()
    rules: tuple[Condition | Choice, ...] = ()
    neutral: bool = False
    line: int = 0


@dataclass(slots=True)
class Mesh:
    """A scoring mesh. Lengths in cm; ``size`` is half widths, or (radius, half length).

    ``turns`` are the rotations of its axes, as the macro gives them: axis and degrees, in sequence.
    The ``left_out`` innermost rings are not scored, and ``grouped`` of the others make a bin;
    Geant4 itself only has rings of equal width, counted from the axis.
    """

    name: str
    shape: str
    size: tuple[float, ...] = ()
    bins: tuple[int, int, int] = (1, 1, 1)
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    turns: list[tuple[str, float]] = field(default_factory=list)
    left_out: int = 0
    grouped: int = 1
    scorers: list[Scorer] = field(default_factory=list)
    line: int = 0

    @property
    def regrouped(self) -> bool:
        """Whether bins differ from Geant4's own."""
        return self.left_out > 0 or self.grouped > 1

    @property
    def matrix(self) -> NDArray[np.float64]:
        """Rotation from the mesh's own axes to the world's, shape (3, 3)."""
        matrix = np.eye(3)
        for axis, degrees in self.turns:
            about = tuple(degrees if name == axis else 0.0 for name in "XYZ")
            matrix = rotation_matrix((about[0], about[1], about[2])) @ matrix
        return matrix.T

    @property
    def dump_shape(self) -> tuple[int, int, int]:
        """Bins in the order of a dump, last fastest: x, y, z or z, phi, r."""
        first, second, third = self.bins
        first = (first - self.left_out) // self.grouped if self.shape == "cylinder" else first
        return (second, third, first) if self.shape == "cylinder" else self.bins
