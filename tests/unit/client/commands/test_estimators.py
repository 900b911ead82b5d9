"""The table of a job's results: filters, confidence intervals, notes."""

from __future__ import annotations

from typing import Any

import pytest

from kerma_client.console import PlainConsole
from kerma_client.estimators import print_estimators
from kerma_engines.results.student import half_width


def page(number: int, metadata: dict[str, str], freedom: int | None = None) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": "FLUENCE",
        "unit": "/cm^2",
        "values": [1.0, 2.0],
        "errors": [0.1, 0.2],
    }
    if freedom is not None:
        data["degrees_of_freedom"] = freedom
    return {"data": data, "metadata": {"page_number": str(number), **metadata}}


def printed(pages: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> str:
    console = PlainConsole(width=200, no_color=True)
    print_estimators({"estimators": [{"name": "flux", "pages": pages}]}, console)
    return capsys.readouterr().out


def test_filters_tell_pages_apart(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed([page(0, {"filter_name": "Protons"}), page(1, {"page_filter_name": "C"})], capsys)
    rows = [line for line in out.splitlines() if "FLUENCE" in line]
    assert "Protons" in rows[0]
    assert " C " in rows[1]


def test_intervals_widen_with_few_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed([page(0, {}), page(1, {}, 1), page(2, {}, 3), page(3, {}, 10**6)], capsys)
    rows = [line for line in out.splitlines() if "FLUENCE" in line]
    widths = [1.0, half_width(1), half_width(3), 1.0]
    for row, width in zip(rows, widths, strict=True):
        assert f"{10 * width:.2f} %" in row


def test_notes_on_merging_are_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    note = "weighted by primaries"
    out = printed([page(0, {"merge_note": note}), page(1, {"merge_note": note})], capsys)
    assert out.count(note) == 1
    assert "flux 0, flux 1: weighted by primaries" in out


def test_notes_on_scoring_and_merging_are_both_shown(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed([page(0, {"note": "too low", "merge_note": "weighted by primaries"})], capsys)
    assert "flux 0: too low; weighted by primaries" in out
