"""Ranges from depth-dose pages and from the table."""

from __future__ import annotations

import numpy as np
import pytest

from kerma_engines.results.estimators import Axis, MergeClass, Page
from kerma_engines.results.ranges import csda_range_in_water, distal_range


def page(values: list[float], errors: list[float] | None = None) -> Page:
    return Page(
        number=0,
        name="DOSE",
        unit="MeV/g/prim",
        merge=MergeClass.PER_PRIMARY,
        axes=(Axis.linear("Position (Z)", "cm", 0, len(values), len(values)),),
        values=np.array(values),
        errors=None if errors is None else np.array(errors),
    )


def test_the_range_is_interpolated_between_bin_centres() -> None:
    found = distal_range(page([5, 6, 10, 9, 5, 0]))
    # 9 at 3.5 cm falls to 5 at 4.5 cm: 8 is passed after a quarter
    assert found.cm == pytest.approx(3.75)
    assert found.stderr_cm is None


def test_the_standard_error_follows_the_slope() -> None:
    values = [5, 6, 100, 90, 50, 0.0]
    found = distal_range(page(values, [0, 0, 0, 1.0, 0, 0]))
    assert found.stderr_cm is not None
    # only the bin before the crossing varies: d(cm)/d(value) = (80 - 50) / 40**2
    assert found.stderr_cm == pytest.approx(30 / 40**2, rel=0.15)
    again = distal_range(page(values, [0, 0, 0, 1.0, 0, 0]))
    assert again == found


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0], [0.0, 0.0], [1.0, np.nan]])
def test_a_page_without_a_distal_edge_has_no_range(values: list[float]) -> None:
    with pytest.raises(ValueError, match="does not fall"):
        distal_range(page(values))


@pytest.mark.parametrize(
    ("energy", "cm"), [(70, 4.080), (150, 15.77), (65, 3.572), (95, 7.045), (230, 32.95)]
)
def test_tabulated_ranges(energy: float, cm: float) -> None:
    assert csda_range_in_water(energy) == pytest.approx(cm, rel=1e-3)


@pytest.mark.parametrize("energy", [0, 49, 251])
def test_outside_the_table(energy: float) -> None:
    with pytest.raises(ValueError, match="no range"):
        csda_range_in_water(energy)
