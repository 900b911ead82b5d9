"""Watching a job: a live line per task and an overall bar, or plain lines without a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from kerma_client.client import JobStatus

INTERVAL_SECONDS = 0.4
PLAIN_SECONDS = 2.0
TASKS_SHOWN = 32


def follow(status: Callable[[], JobStatus], console: Console) -> JobStatus:
    """Show the job until it ends; its last status."""
    if console.is_terminal:
        return _follow_live(status, console)
    return _follow_plain(status)


def _follow_live(status: Callable[[], JobStatus], console: Console) -> JobStatus:
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=40),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]:<14}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bars: dict[int, TaskID] = {}
        overall: TaskID | None = None
        while True:
            now = status()
            for task in now.tasks[:TASKS_SHOWN]:
                if task.index not in bars:
                    bars[task.index] = progress.add_task(
                        f"task {task.index}", total=task.requested, state=task.state
                    )
                progress.update(bars[task.index], completed=task.simulated, state=task.state)
            if overall is None:
                overall = progress.add_task("all", total=now.requested, state=now.state)
            progress.update(overall, completed=now.simulated, state=now.state)
            if now.over:
                return now
            time.sleep(INTERVAL_SECONDS)


def _follow_plain(status: Callable[[], JobStatus]) -> JobStatus:
    began = said = time.monotonic()
    last_state = ""
    while True:
        now = status()
        if now.state != last_state or time.monotonic() - said >= PLAIN_SECONDS or now.over:
            sys.stdout.write(plain_line(now, time.monotonic() - began) + "\n")
            sys.stdout.flush()
            said, last_state = time.monotonic(), now.state
        if now.over:
            return now
        time.sleep(INTERVAL_SECONDS)


def plain_line(now: JobStatus, elapsed: float) -> str:
    """One line of progress, with the time left by the pace so far."""
    ended = sum(task.state == "COMPLETED" for task in now.tasks)
    share = now.simulated / now.requested if now.requested else 0.0
    left = f", about {elapsed * (1 - share) / share:.0f} s left" if 0 < share < 1 else ""
    return (
        f"{now.state:<15} {100 * share:5.1f} %  {now.simulated}/{now.requested} primaries, "
        f"{ended}/{len(now.tasks)} tasks done{left}"
    )
