"""Pictures: what is drawn where, read back from matplotlib's axes."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.collections import QuadMesh
from matplotlib.image import imread

from kerma_client import plots

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matplotlib.axes import Axes


def axis(name: str, unit: str, edges: list[float], binning: str = "linear") -> dict[str, Any]:
    centres = [(low + high) / 2 for low, high in pairwise(edges)]
    return {"name": name, "unit": unit, "values": centres, "edges": edges, "binning": binning}


def page(values: list[float | None], *axes: dict[str, Any], errors: Any = None) -> dict[str, Any]:
    data = {"name": "DOSE", "unit": "MeV/g", "values": values, "errors": errors}
    named = {f"axis_dim{k}": found for k, found in enumerate(axes, 1)}
    return {"dimensions": len(axes), "data": data, **named}


Z = axis("z", "cm", [0.0, 1.0, 2.0, 3.0])


@pytest.fixture
def drawn() -> Iterator[Axes]:
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def test_a_curve_has_its_units_and_band(drawn: Axes) -> None:
    plots._draw(page([1.0, 2.0, None], Z, errors=[0.1, 0.5, None]), drawn, "z_profile: DOSE")
    assert (drawn.get_xlabel(), drawn.get_ylabel()) == ("z [cm]", "DOSE [MeV/g]")
    assert drawn.get_title() == "z_profile: DOSE"
    (line,) = drawn.lines
    np.testing.assert_array_equal(line.get_xdata(), [0.5, 1.5, 2.5])
    np.testing.assert_array_equal(line.get_ydata(), [1.0, 2.0, np.nan])
    (band,) = drawn.collections
    corners = np.asarray(band.get_paths()[0].vertices).tolist()
    assert [1.5, 1.5] in corners
    assert [1.5, 2.5] in corners
    assert drawn.get_ylim()[0] == 0


@pytest.mark.parametrize(
    ("values", "bottom", "top"), [([-2.0, 1.0, 3.0], -2.0, 3.0), ([0.0, 0.0, 0.0], 0.0, 0.5)]
)
def test_negative_values_and_nothing_at_all_are_visible(
    drawn: Axes, values: list[float | None], bottom: float, top: float
) -> None:
    plots._draw(page(values, Z), drawn, "")
    low, high = drawn.get_ylim()
    assert low <= bottom
    assert high >= top


def test_logarithmic_bins_are_drawn_so(drawn: Axes) -> None:
    energy = axis("E", "MeV", [0.1, 1.0, 10.0], "log")
    plots._draw(page([1.0, 2.0], energy), drawn, "")
    assert (drawn.get_xscale(), drawn.get_yscale()) == ("log", "linear")


def test_a_map_has_its_second_axis_across(drawn: Axes) -> None:
    first, second = axis("y", "cm", [0.0, 1.0, 2.0]), axis("E", "MeV", [0.1, 1.0, 10.0, 100.0])
    values: list[float | None] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]  # first axis fastest
    plots._draw(page(values, first, {**second, "binning": "log"}), drawn, "")
    assert (drawn.get_xlabel(), drawn.get_ylabel()) == ("E [MeV]", "y [cm]")
    assert (drawn.get_xscale(), drawn.get_yscale()) == ("log", "linear")
    (mesh,) = (made for made in drawn.collections if isinstance(made, QuadMesh))
    np.testing.assert_array_equal(np.asarray(mesh.get_array()), [[0, 2, 4], [1, 3, 5]])
    assert mesh.colorbar is not None
    assert mesh.colorbar.ax.get_ylabel() == "DOSE [MeV/g]"


def test_a_map_of_nothing_is_dark(drawn: Axes) -> None:
    plots._draw(page([0.0] * 6, axis("y", "cm", [0.0, 1.0, 2.0]), Z), drawn, "")
    (mesh,) = (made for made in drawn.collections if isinstance(made, QuadMesh))
    assert mesh.get_clim() == (0.0, 1.0)


@pytest.mark.parametrize("name", [r"$\frac{a$", "a_b^c", "剂量", "\x1b[31m", "100 % $"])
def test_names_are_not_formulas(tmp_path: Path, name: str) -> None:
    made = page([1.0, 2.0, 3.0], {**Z, "name": name}, errors=[0.1, 0.1, 0.1])
    made["data"] |= {"name": name, "unit": name}
    plots.draw_page(made, tmp_path / "one.png", name, note=name)
    plots.draw_pages([(name, made)] * 4, tmp_path / "more.png")
    for file in ("one.png", "more.png"):
        picture = imread(tmp_path / file)
        assert picture.std() > 0.01


def test_errors_have_a_panel_in_percent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept: list[Any] = []
    monkeypatch.setattr(plt, "close", kept.append)
    made = page([1.0, 2.0, 0.001], Z, errors=[0.1, 0.5, 0.001])
    plots.draw_page(made, tmp_path / "x.png", "")
    (figure,) = kept
    _, below = figure.axes
    np.testing.assert_allclose(below.lines[0].get_xdata(), [0.5, 1.5])
    np.testing.assert_allclose(below.lines[0].get_ydata(), [10.0, 25.0])
    monkeypatch.undo()
    plt.close(figure)


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "x.png"
    with pytest.raises(ValueError, match="t: a page with 0 axes"):
        plots.draw_page(page([1.0]), target, "t")
    with pytest.raises(ValueError, match=r"x\.jpg: only PNG"):
        plots.draw_page(page([1.0] * 3, Z), tmp_path / "x.jpg", "t")
    with pytest.raises(ValueError, match="31 pages in one picture"):
        plots.draw_pages([("t", page([1.0] * 3, Z))] * 31, target)
    assert not target.exists()
