"""Steps of constructive solid geometry: how a figure combines with those before it."""

from __future__ import annotations

from typing import Literal

from kerma_engines.fields import Model


class Operand(Model):
    """One step of a zone's term: a figure is united, subtracted or intersected."""

    mode: Literal["union", "subtraction", "intersection"]
    object_uuid: str
