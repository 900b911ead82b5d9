"""Pictures of result pages: curves with their error band, maps."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kerma_client.text import printable
from kerma_engines.results.student import half_width

mpl.rcParams["text.parse_math"] = False  # names of results are not formulas

DPI = 150
LEAST_SHARE = 0.02
MOST_PANELS = 30


def _array(values: list[float | None]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)


def draw_page(page: Mapping[str, Any], target: Path, title: str, note: str = "") -> None:
    """Draw a page of the results interface with one or two axes to a PNG file.

    Raises ValueError for other dimensions and other file types, and OSError.
    """
    _check_target(target)
    with_errors = page["dimensions"] == 1 and bool(page["data"].get("errors"))
    figure = plt.figure(figsize=(8, 5.5 if with_errors else 4.5), layout="constrained")
    try:
        if with_errors:
            axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
            _draw_errors(page, below)
        else:
            axes = figure.subplots()
        _draw(page, axes, title)
        if with_errors:
            axes.set_xlabel("")
        if note:
            axes.text(0.02, 0.95, printable(note), transform=axes.transAxes, va="top")
        _save(figure, target)
    finally:
        plt.close(figure)


def draw_pages(pages: Sequence[tuple[str, Mapping[str, Any]]], target: Path) -> None:
    """Draw titled pages, each with one or two axes, as panels of one PNG file.

    Raises ValueError for other dimensions, for too many panels and for other file types, and
    OSError.
    """
    _check_target(target)
    if len(pages) > MOST_PANELS:
        raise ValueError(f"{len(pages)} pages in one picture are too many; draw fewer files")
    columns = min(len(pages), 3)
    rows = -(-len(pages) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(6.5 * columns, 4.2 * rows), layout="constrained", squeeze=False
    )
    try:
        for axes in grid.flat[len(pages) :]:
            axes.set_visible(False)
        for axes, (title, page) in zip(grid.flat, pages, strict=False):
            _draw(page, axes, title)
        _save(figure, target)
    finally:
        plt.close(figure)


def _check_target(target: Path) -> None:
    if target.suffix.lower() != ".png":
        raise ValueError(f"{target}: only PNG files can be drawn, name it *.png")


def _save(figure: Figure, target: Path) -> None:
    with warnings.catch_warnings():
        # characters that the font lacks are drawn as boxes
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(target, dpi=DPI)


def _draw(page: Mapping[str, Any], axes: Axes, title: str) -> None:
    if page["dimensions"] == 1:
        _draw_curve(page, axes)
    elif page["dimensions"] == 2:
        _draw_map(page, axes)
    else:
        count = page["dimensions"]
        raise ValueError(f"{title}: a page with {count} axes cannot be drawn, only with 1 or 2")
    axes.set_title(printable(title))


def _scale(axis: Mapping[str, Any]) -> Literal["log", "linear"]:
    return "log" if axis.get("binning") == "log" else "linear"


def _label(axis: Mapping[str, Any]) -> str:
    return printable(f"{axis['name']} [{axis['unit']}]" if axis["unit"] else axis["name"])


def _draw_curve(page: Mapping[str, Any], axes: Axes) -> None:
    x, data = _array(page["axis_dim1"]["values"]), page["data"]
    y = _array(data["values"])
    if data.get("errors"):
        error = _interval(data)
        label = "68 % confidence interval"
        axes.fill_between(x, y - error, y + error, alpha=0.35, label=label, lw=0)
    axes.plot(x, y, lw=1.2, label=printable(data["name"]))
    axes.set_xlabel(_label(page["axis_dim1"]))
    axes.set_xscale(_scale(page["axis_dim1"]))
    axes.set_ylabel(_label(data))
    if not (y < 0).any():  # a net charge can be negative
        axes.set_ylim(bottom=0, top=None if (y > 0).any() else 1)
    axes.grid(alpha=0.3)
    axes.legend(loc="best")


def _interval(data: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return half widths of 68 % confidence intervals: wider than standard errors of few tasks."""
    return _array(data["errors"]) * half_width(data.get("degrees_of_freedom"))


def _draw_errors(page: Mapping[str, Any], axes: Axes) -> None:
    """Draw the errors on a separate scale: the band is often thinner than the curve's line."""
    x, data = _array(page["axis_dim1"]["values"]), page["data"]
    y, error = _array(data["values"]), _interval(data)
    # relative errors mean little where almost nothing was scored
    seen = y > LEAST_SHARE * np.nan_to_num(y).max()
    axes.plot(x[seen], 100 * error[seen] / y[seen], lw=1, color="tab:gray")
    axes.set_xlabel(_label(page["axis_dim1"]))
    axes.set_ylabel("± (68 %)\n[%]")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)


def _draw_map(page: Mapping[str, Any], axes: Axes) -> None:
    first, second = page["axis_dim1"], page["axis_dim2"]
    x, y = _edges(first), _edges(second)
    # stored with the first axis fastest, so rows of the picture are the second axis
    z = _array(page["data"]["values"]).reshape(y.size - 1, x.size - 1)
    nothing = not (np.nan_to_num(z) != 0).any()
    mesh = axes.pcolormesh(
        y,
        x,
        z.T,
        cmap="inferno",
        shading="flat",
        vmin=0 if nothing else None,
        vmax=1 if nothing else None,
    )
    axes.figure.colorbar(mesh, ax=axes, label=_label(page["data"]))
    axes.set_xlabel(_label(second))
    axes.set_ylabel(_label(first))
    axes.set_xscale(_scale(second))
    axes.set_yscale(_scale(first))


def _edges(axis: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    if axis.get("edges"):
        return _array(axis["edges"])
    centres = _array(axis["values"])
    half = np.diff(centres) / 2
    return np.concatenate(([centres[0] - half[0]], centres[:-1] + half, [centres[-1] + half[-1]]))
