"""Signals that stop a process, and what its terminal says meanwhile; quick to import."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

MOST_SECONDS = 10
"""A process ends within this time after a signal."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
Say = Callable[[str], None]
"""Prints a line for the person at the terminal."""


@dataclass(slots=True)
class StopSignals:
    """SIGINT and SIGTERM of the process called ``name``.

    The first one sets ``asked``; further ones are answered with a line.
    """

    name: str
    output: Say | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _starting: asyncio.Task[Any] | None = field(default=None, init=False)

    def catch(self) -> None:
        """Handle the signals from now on."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._receive)

    def release(self) -> None:
        """Give the signals their default actions back."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)

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
        thread = threading.Thread(target=self._speak, args=(text,), daemon=True)
        thread.start()
        return thread

    def _receive(self) -> None:
        if self.asked.is_set():
            self.say(f"already stopping, which takes {MOST_SECONDS} seconds at most")
        elif self._starting is not None:
            self._starting.cancel()
        self.asked.set()

    def _speak(self, text: str) -> None:
        if self.output is not None:
            with suppress(OSError, ValueError):
                self.output(f"{self.name}: {text}")
