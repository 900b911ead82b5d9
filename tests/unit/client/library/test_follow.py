"""Watching a job: estimates of the time left, and a row or a count for every task."""

from __future__ import annotations

import io

import pytest
from rich.progress import Progress

from kerma_client import follow
from kerma_client.api.models import JobStatus, TaskStatus
from kerma_client.console import PlainConsole
from kerma_client.follow import TimeLeft, plain_line


def task(index: int, state: str, simulated: int, left: float | None = None) -> TaskStatus:
    return TaskStatus(index, state, 100, simulated, left)


def job(*tasks: TaskStatus, state: str = "RUNNING") -> JobStatus:
    return JobStatus("j", state, tasks, "")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_engine_knows_best() -> None:
    assert TimeLeft().of(job(task(0, "RUNNING", 50, 40.0), task(1, "COMPLETED", 100))) == 40.0


def test_waiting_tasks_go_as_fast_as_running_ones() -> None:
    # 2 primaries a second in two slots, 100 + 200 of them left
    tasks = [task(0, "RUNNING", 50, 25.0), task(1, "RUNNING", 50, 25.0)]
    waiting = [task(k, "PENDING", 0) for k in (2, 3)]
    assert TimeLeft().of(job(*tasks, *waiting)) == pytest.approx(75.0)


def test_the_slowest_task_bounds_the_estimate() -> None:
    assert TimeLeft().of(job(task(0, "RUNNING", 99, 500.0), task(1, "RUNNING", 0, 10.0))) == 500.0


def test_a_task_that_tells_nothing_yet_goes_as_fast_as_the_others() -> None:
    tasks = [task(0, "RUNNING", 50, 50.0), task(1, "RUNNING", 50, 50.0), task(2, "RUNNING", 0)]
    assert TimeLeft().of(job(*tasks)) == pytest.approx(200 / 3)


def test_time_in_the_queue_is_no_pace() -> None:
    clock = Clock()
    left = TimeLeft(clock)
    assert left.of(job(task(0, "PENDING", 0), state="PENDING")) is None
    clock.now = 1000.0
    assert left.of(job(task(0, "RUNNING", 0))) is None
    assert left.of(job(task(0, "RUNNING", 10))) is None
    clock.now = 1020.0
    assert left.of(job(task(0, "RUNNING", 50))) == pytest.approx(25.0)


def test_failed_tasks_have_nothing_left() -> None:
    assert TimeLeft().of(job(task(0, "RUNNING", 50, 10.0), task(1, "FAILED", 3))) == 10.0


@pytest.mark.parametrize("state", ["PENDING", "MERGING_RUNNING", "COMPLETED"])
def test_nothing_is_told_where_nothing_runs(state: str) -> None:
    assert TimeLeft().of(job(task(0, "COMPLETED", 100), state=state)) is None


def test_an_engine_that_is_about_to_end_does_not_divide_by_zero() -> None:
    assert TimeLeft().of(job(task(0, "RUNNING", 99, 0.0))) is None
    both = job(task(0, "RUNNING", 99, 0.0), task(1, "RUNNING", 50, 50.0))
    assert TimeLeft().of(both) == pytest.approx(50.0)


def test_plain_lines_name_what_is_done_and_left() -> None:
    now = job(task(0, "COMPLETED", 100), task(1, "RUNNING", 50, 7.0))
    assert plain_line(now, 7.4).split("  ")[-1] == (
        "150/200 primaries, 1/2 tasks done, about 7 s left"
    )
    assert "left" not in plain_line(now, None)


def shown(statuses: list[JobStatus], terminal: bool) -> str:
    out = io.StringIO()
    console = PlainConsole(file=out, force_terminal=terminal, width=150)
    assert follow.follow(iter(statuses), console) == statuses[-1]
    return out.getvalue()


def test_tasks_that_do_not_fit_are_counted() -> None:
    many = [task(k, "RUNNING", 50, 83.0) for k in range(40)]
    done = [task(k, "COMPLETED", 100) for k in range(40)]
    statuses = [job(*many), job(*done, state="COMPLETED")]
    text = shown(statuses, terminal=True)
    assert "task 31" in text
    assert "task 32" not in text
    assert "and 8 more tasks" in text
    assert "8/8 done" in text


def test_rows_tell_the_time_that_engines_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    statuses = [job(task(0, "RUNNING", 50, 83.0)), job(task(0, "CANCELED", 50), state="CANCELED")]
    rows: list[str] = []
    monkeypatch.setattr(Progress, "update", lambda _, __, **fields: rows.append(fields["left"]))
    shown(statuses, terminal=True)
    assert rows == ["0:01:23 left", "0:01:23 left", "", ""]


def test_without_a_terminal_lines_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    statuses = [
        job(task(0, "RUNNING", 50, 83.0)),
        job(task(0, "COMPLETED", 100), state="COMPLETED"),
    ]
    shown(statuses, terminal=False)
    first, last = capsys.readouterr().out.splitlines()
    assert first.endswith("about 83 s left")
    assert last.endswith("1/1 tasks done")
