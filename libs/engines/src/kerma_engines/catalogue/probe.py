"""Programs asked for their version: within bounds of time and output, and nothing is left of them."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from kerma_engines.adapter.environment import engine_environment
from kerma_engines.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SECONDS = 10.0
BYTES = 1 << 20
_KEPT = 1 << 16
_CHUNK = 1 << 14
_DRAIN_SECONDS = 1.0


class Unusable(EngineError):  # noqa: N818 - a fact
    """A program can't be used; the text says why."""


class _Output:
    """The beginning of what a program prints; too much of it ends the program."""

    def __init__(self, process: subprocess.Popen[bytes], pipe: IO[bytes]) -> None:
        self._process, self._pipe = process, pipe
        self._kept = bytearray()
        self.total = 0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        # closed here: what left the group may hold the other end for longer than anybody listens
        with self._pipe:
            while chunk := os.read(self._pipe.fileno(), _CHUNK):
                self.total += len(chunk)
                self._kept += chunk[: _KEPT - len(self._kept)]
                if self.total > BYTES:
                    _kill(self._process)
                    return

    def text(self) -> str:
        """What came, once the program has ended; something that left its group may go on."""
        self._thread.join(_DRAIN_SECONDS)
        return bytes(self._kept).decode(errors="replace")


def ask(argv: Sequence[str], own: Mapping[str, str]) -> str:
    """The first 64 KiB that a program prints, with the environment its tasks would have.

    Raises Unusable when it can't be started, takes longer than 10 s or prints more than 1 MiB;
    an exit code is no reason, as some programs have no way to tell their version.
    """
    with tempfile.TemporaryDirectory(prefix="kerma-probe-", ignore_cleanup_errors=True) as folder:
        try:
            process = subprocess.Popen(
                argv,
                cwd=folder,
                env=engine_environment(os.environ, Path(folder), own),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise Unusable(f"it cannot be started: {reason}") from None
        return _hear(process)


def _hear(process: subprocess.Popen[bytes]) -> str:
    if process.stdout is None:
        raise Unusable("it has no output")
    output = _Output(process, process.stdout)
    try:
        process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        raise Unusable(f"it did not end within {SECONDS:g} s when asked for its version") from None
    finally:
        _kill(process)
        process.wait()
        text = output.text()
    if output.total > BYTES:
        raise Unusable(f"it printed more than {BYTES >> 20} MiB when asked for its version")
    return text


def _kill(process: subprocess.Popen[bytes]) -> None:
    """With all that it started and that stayed in its group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
