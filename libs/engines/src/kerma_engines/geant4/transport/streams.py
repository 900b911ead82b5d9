"""The standard streams of a transport process.

Standard output carries progress lines and nothing else. Everything that Geant4 prints goes to its
log. The cause of a failure goes to standard error, even if Geant4 aborts the process.
"""

from __future__ import annotations

import ctypes
import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kerma_engines.geant4.transport.watch import REFUSAL, blames_input, last_exception

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TAIL = 8192
_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int)


@contextmanager
def redirected(log: Path) -> Iterator[int]:
    """Send everything that the process prints to ``log``; yield a descriptor of the real output."""
    output, errors = os.dup(1), os.dup(2)
    descriptor = os.open(log, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    # referenced until the end, since the C library keeps its address
    handler = _tell_before_abort(descriptor, errors)
    try:
        yield output
    finally:
        _on_abort(None)
        os.dup2(output, 1)
        os.dup2(errors, 2)
        os.close(descriptor)
        del handler


def _tell_before_abort(log: int, errors: int) -> Any:
    """Write the last exception in the log to ``errors`` when Geant4 aborts the process.

    If the input is at fault, the process ends with the code that says so instead of the signal.
    Python's own signal handlers run between its instructions, hence never after ``abort()``.
    """

    def tell(_signal: int) -> None:
        end = os.lseek(log, 0, os.SEEK_END)
        text = os.pread(log, _TAIL, max(end - _TAIL, 0)).decode("utf-8", "replace")
        os.write(errors, last_exception(text).encode())
        if blames_input(text):
            os._exit(REFUSAL)

    handler = _HANDLER(tell)
    _on_abort(handler)
    return handler


def _on_abort(handler: Any) -> None:
    install = ctypes.CDLL(None).signal
    install.argtypes = (ctypes.c_int, ctypes.c_void_p)
    install.restype = ctypes.c_void_p
    install(signal.SIGABRT, ctypes.cast(handler, ctypes.c_void_p) if handler else None)
