"""Monitors: genuine lines give progress, and no line makes a monitor fail."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_inputs import REAL
from kerma_engines.adapter.port import Monitor, Progress
from kerma_engines.catalogue.registry import engine
from kerma_engines.fluka.monitor import FlukaMonitor
from kerma_engines.shieldhit.monitor import ShieldHitMonitor
from kerma_engines.topas.monitor import TopasMonitor


def console(name: str) -> list[str]:
    path = REAL / f"consoles/{name}_stdout.txt"
    if not path.exists():
        pytest.skip("the real data is not here")
    return path.read_text(errors="replace").splitlines()


def fed(monitor: Monitor, lines: list[str]) -> list[Progress]:
    return [told for told in map(monitor.feed, lines) if told is not None]


class TestShieldHit:
    def test_a_genuine_run(self) -> None:
        told = fed(ShieldHitMonitor(20), console("shieldhit"))
        assert [progress.primaries for progress in told] == [0, *range(1, 21), 20]
        assert told[-1].eta_seconds == 0

    def test_the_engine_tells_the_time_left(self) -> None:
        line = "     Primary particle no.          12      ETR:   1 hours  2 minutes 30 seconds"
        assert ShieldHitMonitor(20).feed(line) == Progress(12, 3750.0)

    def test_a_line_without_time_tells_nothing(self) -> None:
        assert ShieldHitMonitor(20).feed("     Primary particle no.           1") is None

    def test_no_more_than_requested(self) -> None:
        line = "     Primary particle no.         999      ETR:   0 hours  0 minutes  0 seconds"
        assert ShieldHitMonitor(20).feed(line) == Progress(20, 0.0)


FLUKA_OUT = """1NUMBER OF BEAM        NUMBER OF BEAM     APPROXIMATE NUMBER
 PARTICLES HANDLED
          1          2          3          4          5          6
 NEXT SEEDS:         0         0         0
       500       1500       1500   2.0000000E-03   1.0000000E+30        39
 NEXT SEEDS:         1         0         0
      2000          0          0   2.0000000E-03   1.0000000E+30        40
 All cases handled by Feeder
       100        100        100   2.0000000E-03   1.0000000E+30        40
 * ======                End of FLUKA FLUKA4-3.2 run                  ====== *
""".splitlines()


class TestFluka:
    def test_a_run(self) -> None:
        told = fed(FlukaMonitor(2000), FLUKA_OUT)
        assert told == [
            Progress(0),
            Progress(500, 3.0),
            Progress(2000, 0.0),
            Progress(2000, 0.0),
            Progress(2000, 0.0),
        ]

    def test_standard_output_tells_nothing(self) -> None:
        assert fed(FlukaMonitor(20), console("fluka")) == []

    @pytest.mark.parametrize(
        "line", ["1.5 2 3 4 5 6", "a b c d e f", "1 2 3 4 5", "1 2 3 4 5 6 7", "- - - - - -"]
    )
    def test_lines_that_look_like_the_table_tell_nothing(self, line: str) -> None:
        monitor = FlukaMonitor(20)
        monitor.feed(" NEXT SEEDS:         0         0")
        assert monitor.feed(line) is None


class TestTopas:
    def test_a_genuine_run_of_threads(self) -> None:
        seconds = count()
        monitor = TopasMonitor(20, lambda: float(next(seconds)))
        told = fed(monitor, console("topas"))
        numbers = [progress.primaries for progress in told]
        assert numbers == sorted(numbers), "threads tell out of order"
        assert told[-1] == Progress(20, 0.0)
        assert len(told) > 5

    def test_the_time_left_comes_from_the_pace(self) -> None:
        times = iter([100.0, 110.0])
        monitor = TopasMonitor(1000, lambda: next(times))
        line = "G4WT3 > Begin processing for Run: 0, History: {}"
        assert monitor.feed(line.format(100)) == Progress(100)
        assert monitor.feed(line.format(200)) == Progress(200, 80.0)


HINTS = ["Primary particle no.", "ETR:", "hours", "NEXT SEEDS:", "History:", "Run time:", "1E5"]
PARTS = st.one_of(st.sampled_from(HINTS), st.text(max_size=20), st.integers().map(str))


@given(st.lists(st.lists(PARTS, max_size=8).map(" ".join), max_size=20))
def test_no_line_makes_a_monitor_fail(lines: list[str]) -> None:
    for name in ("shieldhit", "fluka", "topas"):
        told = fed(engine(name).monitor(1000), [*FLUKA_OUT[:4], *lines])
        assert all(0 <= progress.primaries <= 1000 for progress in told)


@pytest.mark.parametrize("line", ["9" * 10_000_000, " " * 1_000_000, "1 " * 500_000])
def test_endless_lines_are_passed_over(line: str) -> None:
    for name in ("shieldhit", "fluka", "topas"):
        assert engine(name).monitor(10).feed(line) is None
