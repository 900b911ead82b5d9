"""Signals that stop a process, and what its terminal says meanwhile; quick to import."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn

MOST_SECONDS = 10
"""A process ends within this time after a signal."""
LAST_SECONDS = MOST_SECONDS - 0.5
"""When it ends after a signal even if its clean-up or one of its threads waits for ever."""
SAY_SECONDS = 0.4
"""How long the last lines may take, on the terminal and in the log together."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
Say = Callable[[str], None]
"""Prints a line for the person at the terminal."""
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class StopSignals:
    """SIGINT and SIGTERM of the process called ``name``.

    The first one sets ``asked``; further ones are answered with a line. ``forced`` is called just
    before the process ends without waiting for its parts.
    """

    name: str
    output: Say | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    forced: Callable[[], None] | None = field(default=None, init=False)
    _starting: asyncio.Task[Any] | None = field(default=None, init=False)
    _last: threading.Timer | None = field(default=None, init=False)
    _loop: asyncio.AbstractEventLoop | None = field(default=None, init=False)

    def catch(self) -> None:
        """Handle the signals from now on."""
        self._loop = loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._receive)

    def release(self) -> None:
        """Give the signals their default actions back."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
        if self._last is not None:
            self._last.cancel()

    def end_within(self, seconds: float) -> None:
        """End the process after ``seconds``, unless it has ended by then.

        A thread does it: the loop may be gone, and what cleans up after it may wait for ever.
        """
        if self._last is None:
            self._last = threading.Timer(seconds, self._end_late)
            self._last.daemon = True
            self._last.start()

    def end(self, names: str, told: Callable[[], None] | None = None) -> NoReturn:
        """End the process without waiting for what ``names`` tell; the log makes that safe.

        ``told`` tells more of it meanwhile. It may fail or wait for ever, as the log does while nobody
        reads it.
        """
        text = f"ended without waiting for {names}; nothing stored is lost, start again"
        until = time.monotonic() + SAY_SECONDS
        try:
            telling = [_beside(told)] if told is not None else []
            for thread in (*telling, self.say(text)):
                thread.join(max(0.0, until - time.monotonic()))
        finally:
            try:
                if self.forced is not None:
                    self.forced()
            finally:
                os._exit(1)

    def starting(self) -> None:
        """Cancel the current task at a signal, until ``started``."""
        self._starting = asyncio.current_task()

    def started(self) -> None:
        """Leave stopping to who waits for ``asked``."""
        self._starting = None

    def say(self, text: str) -> threading.Thread:
        """Say a line without waiting for the terminal, which may be paused or closed.

        The thread ends once the line is printed.
        """
        return _beside(partial(self._speak, text))

    def _receive(self) -> None:
        if self.asked.is_set():
            self.say(f"already stopping, which takes {MOST_SECONDS} seconds at most")
        elif self._starting is not None:
            self._starting.cancel()
        self.asked.set()
        self.end_within(LAST_SECONDS)

    def _end_late(self) -> None:
        self.end("its clean-up", self._tell_what_runs)

    def _tell_what_runs(self) -> None:
        frames = sys._current_frames().values()  # noqa: SLF001 - the documented way to see all threads
        stacks = ["".join(traceback.format_stack(frame)) for frame in frames]
        tasks = [] if self._loop is None else [*map(repr, asyncio.all_tasks(self._loop))]
        logger.critical("does not end", extra={"stacks": stacks, "tasks": tasks})

    def _speak(self, text: str) -> None:
        if self.output is not None:
            with suppress(OSError, ValueError):
                self.output(f"{self.name}: {text}")


def _beside(work: Callable[[], None]) -> threading.Thread:
    """Do work in a thread that keeps no process from ending."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread
