"""Watch a job: a live bar per task and one for all, or plain lines without a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from kerma_client.api.models import TERMINAL, JobStatus, TaskStatus
from kerma_client.console import PlainConsole
from kerma_client.terminal import say

PLAIN_SECONDS = 2.0
TASKS_SHOWN = 32
NOTHING = JobStatus("", "", (), "")


class TimeLeft:
    """Estimates when a job is done, from the estimates of its engines.

    Without those, the pace since the first simulated primaries counts. Time in the queue is left
    out, and the time that tasks will wait for other users' jobs is unknown.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first: tuple[float, int] | None = None

    def of(self, now: JobStatus) -> float | None:
        """Return the seconds left, or None while nothing runs or the pace is unknown."""
        running = [task for task in now.tasks if task.state == "RUNNING"]
        if self._first is None and now.simulated > 0:
            self._first = (self._clock(), now.simulated)
        if not running:
            return None
        rest = sum(_rest(task) for task in now.tasks)
        estimated = [task for task in running if task.seconds_left is not None]
        # assume that a task without an estimate goes as fast as the others
        each = [_rest(task) / task.seconds_left for task in estimated if task.seconds_left]
        if each and len(estimated) > len(running) // 2:
            pace = sum(each) / len(each) * len(running)
            return max(rest / pace, max(task.seconds_left or 0.0 for task in estimated))
        return self._by_pace(now.simulated, rest)

    def _by_pace(self, done: int, rest: int) -> float | None:
        if self._first is None or done <= self._first[1]:
            return None
        since, first = self._first
        return (self._clock() - since) / (done - first) * rest


def _rest(task: TaskStatus) -> int:
    return 0 if task.state in TERMINAL else max(0, task.requested - task.simulated)


def follow(statuses: Iterable[JobStatus], console: PlainConsole) -> JobStatus:
    """Show the statuses of a job, which end with it; return the last one."""
    return _follow_live(statuses, console) if console.is_terminal else _follow_plain(statuses)


def _follow_live(statuses: Iterable[JobStatus], console: PlainConsole) -> JobStatus:
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=40),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]:<14}"),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=console) as progress:
        rows, time_left, last = _Rows(progress), TimeLeft(), NOTHING
        for now in statuses:
            rows.show(now, time_left.of(now))
            last = now
    return last


class _Rows:
    """A bar per task, one for the tasks that do not fit, and one for the job."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}

    def show(self, now: JobStatus, seconds: float | None) -> None:
        """Update all rows."""
        for task in now.tasks[:TASKS_SHOWN]:
            left = task.seconds_left if task.state == "RUNNING" else None
            self._row(f"task {task.number}", task.requested, task.simulated, task.state, left)
        if more := now.tasks[TASKS_SHOWN:]:
            requested = sum(task.requested for task in more)
            simulated = sum(task.simulated for task in more)
            word = "tasks" if len(more) > 1 else "task"
            self._row(f"and {len(more)} more {word}", requested, simulated, _done(more), None)
        self._row("all", now.requested, now.simulated, now.state, seconds)

    def _row(
        self, name: str, requested: int, simulated: int, state: str, seconds: float | None
    ) -> None:
        left = "" if seconds is None else f"{timedelta(seconds=round(seconds))} left"
        if name not in self._bars:
            self._bars[name] = self._progress.add_task(name, total=requested, state="", left="")
        bar = self._bars[name]
        self._progress.update(bar, total=requested, completed=simulated, state=state, left=left)


def _done(tasks: Sequence[TaskStatus]) -> str:
    return f"{sum(task.state == 'COMPLETED' for task in tasks)}/{len(tasks)} done"


def _follow_plain(statuses: Iterable[JobStatus]) -> JobStatus:
    said, last, time_left = time.monotonic(), NOTHING, TimeLeft()
    for now in statuses:
        left = time_left.of(now)
        if now.state != last.state or time.monotonic() - said >= PLAIN_SECONDS or now.over:
            say(plain_line(now, left))
            said = time.monotonic()
        last = now
    return last


def plain_line(now: JobStatus, seconds: float | None) -> str:
    """Return one line of progress, with the time left if it is known."""
    share = now.simulated / now.requested if now.requested else 0.0
    ended = sum(task.state == "COMPLETED" for task in now.tasks)
    left = "" if seconds is None else f", about {seconds:.0f} s left"
    return (
        f"{now.state:<15} {100 * share:5.1f} %  {now.simulated}/{now.requested} primaries, "
        f"{ended}/{len(now.tasks)} tasks done{left}"
    )
