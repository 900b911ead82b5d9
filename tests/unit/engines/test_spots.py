"""Lists of spots: their columns, and faults refused with their line."""

from __future__ import annotations

import math

import pytest

from engine_inputs import real_project
from kerma_engines.project import spots
from kerma_engines.project.energies import EnergyRange
from kerma_engines.project.spots import Spot, parse

FWHM = 2 * math.sqrt(2 * math.log(2))


ENERGIES = EnergyRange("Geant4", 0.0, 1e6)


def read(text: str, **limits: float) -> tuple[Spot, ...]:
    found = parse(text, energies=ENERGIES, **limits)
    assert found.faults == ()
    return found.spots


def faults(text: str, **limits: float) -> list[str]:
    found = parse(text, energies=ENERGIES, **limits)
    assert found.spots == ()
    return [str(fault) for fault in found.faults]


@pytest.mark.parametrize(
    ("line", "spot"),
    [
        ("0.15 1 -2 0.5 3e4", (150, None, 1, -2, 0.5 / FWHM, 0.5 / FWHM, 3e4)),
        ("0.15 1 -2 .5 .6 3", (150, None, 1, -2, 0.5 / FWHM, 0.6 / FWHM, 3)),
        ("0.15\t1e-3 1 -2 0.5 0 3", (150, 1, 1, -2, 0.5 / FWHM, 0, 3)),
    ],
)
def test_columns(line: str, spot: tuple[float | None, ...]) -> None:
    (found,) = read(line)
    expected = Spot(*spot)  # type: ignore[arg-type]
    assert found.energy == pytest.approx(expected.energy)
    assert found.energy_sigma == pytest.approx(expected.energy_sigma)
    assert (found.x, found.y, found.weight) == (expected.x, expected.y, expected.weight)
    assert (found.sigma_x, found.sigma_y) == pytest.approx((expected.sigma_x, expected.sigma_y))


def test_comments_and_empty_lines_say_nothing() -> None:
    text = "*ENERGY(GEV) X Y FWHM WEIGHT\r\n\r\n  # more\n0.1 0 0 1 1 * the first\r\n0.2 0 0 1 0\n"
    assert [spot.energy for spot in read(text)] == pytest.approx([100, 200])


def test_only_lists_of_seven_columns_tell_the_spread_of_energies() -> None:
    assert parse("0.1 0.001 0 0 1 1 1", energies=ENERGIES).tells_energy_sigma
    assert not parse("0.1 0 0 1 1", energies=ENERGIES).tells_energy_sigma


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0.1 0 0 1", "4 columns"),
        ("0.1 0 0 0 1 1 1 1", "8 columns"),
        ("0.1 0.01 0 0 1 1 3 3 1", "9 columns"),
        ("0.1 0 0 x 1", "something else"),
        ("0.1 0 0 nan 1", "something else"),
        ("inf 0 0 1 1", "something else"),
        ("0.1 0 0 1_0 1", "something else"),
        ("0.1 0 0 1-1 1", "something else"),
        ("0.1 0 0 0x1 1", "something else"),
        ("0.1,0,0,1,1", "something else"),
        ("1.5D-1 0 0 1 1", "something else"),
        ("\u0661 0 0 1 1", "something else"),
        ("0.1 0 0 1 \x001", "something else"),
        ("0 0 0 1 1", "0 MeV per nucleon; Geant4 transports above 0"),
        ("-0.1 0 0 1 1", "-100 MeV per nucleon; Geant4 transports above 0"),
        ("1e400 0 0 1 1", "inf MeV per nucleon; Geant4 transports up to 1e+06"),
        ("1001 0 0 1 1", "transports up to 1e+06"),
        ("0.1 -0.01 0 0 1 1 1", "spread"),
        ("0.1 1e400 0 0 1 1 1", "spread"),
        ("0.1 1e6 0 1 1", "off the axis"),
        ("0.1 0 -1e400 1 1", "off the axis"),
        ("0.1 0 0 -1 1", "widths"),
        ("0.1 0 0 1 -1 1", "widths"),
        ("0.1 0 0 1 1e9 1", "widths"),
        ("0.1 0 0 1 -1", "weights"),
        ("0.1 0 0 1 1e400", "weights"),
        ("0.1 0 0 1 1" + " " * 1000, "more than 1000 characters"),
    ],
)
def test_malformed_lines_are_told_with_their_number(line: str, reason: str) -> None:
    (fault,) = faults(f"* comment\n0.1 0 0 1 1\n{line}\n")[:1]
    assert fault.startswith("line 3: ")
    if len(line.split()) == 5 or "columns" in reason:
        assert reason in fault
    else:
        # a different number of columns than the line before; alone, the value itself is at fault
        assert reason in faults(line)[0]


def test_a_spread_must_leave_so_many_sigmas_above_zero() -> None:
    line = "0.1 0.02 0 0 1 1 1"
    assert read(line, tails=4.9)
    assert "less than a 5th" in faults(line, tails=5)[0]
    assert "less than a 5th" in faults("0.1 0 0 1 1", tails=5, energy_sigma=20)[0]
    assert read("0.1 0 0 1 1", tails=5, energy_sigma=19.9)


def test_columns_do_not_change_between_lines() -> None:
    assert faults("0.1 0 0 1 1\n0.1 0 0 1 1 1") == ["line 2: 6 columns, where lines before have 5"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "there are no spots"),
        (" \n* nothing\n", "there are no spots"),
        ("0.1 0 0 1 0\n0.1 0 0 1 0.0", "the weights are all zero"),
    ],
)
def test_lists_that_say_nothing(text: str, reason: str) -> None:
    assert faults(text) == [reason]


def test_many_faults_are_summed_up() -> None:
    told = faults("x\n" * 1000)
    assert len(told) == spots.MOST_FAULTS + 1
    assert told[-1] == "980 more lines like these"


def test_lists_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert spots.MOST_SPOTS == 200_000
    monkeypatch.setattr(spots, "MOST_SPOTS", 1_000)
    line = "0.1 0 0 1 1\n"
    assert len(read(line * 1_000)) == 1_000
    assert "more than 1000 spots" in faults(line * 1_001)[0]


def test_the_editors_example() -> None:
    text = real_project("ex5")["input"]["inputJson"]["beam"]["sourceFile"]["value"]
    found = read(text, tails=5)
    assert len(found) == 6069
    assert len({spot.energy for spot in found}) == 21
    assert found[0].energy_sigma == pytest.approx(0.73349)
    assert max(spot.x for spot in found) == 4.76
    assert found[0].sigma_x == pytest.approx(0.91 / 2.3548, rel=1e-4)
