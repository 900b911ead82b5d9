"""A measured figure and the limit or peer it is compared with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """``value`` in ``unit`` beside ``peer_value`` of ``peer``, measured in the same run.

    ``bar`` bounds their ratio from below, or from above when ``lower_is_better``.
    """

    name: str
    value: float
    unit: str
    peer: str
    peer_value: float
    bar: float
    lower_is_better: bool = False

    @property
    def ratio(self) -> float:
        """Value over peer."""
        return self.value / self.peer_value

    @property
    def passed(self) -> bool:
        """Whether the bar is met."""
        return self.ratio <= self.bar if self.lower_is_better else self.ratio >= self.bar
