"""Probe programs for their version, confined and with limits on time and output."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from kerma_engines.adapter.environment import engine_environment, readable_places
from kerma_engines.errors import EngineError
from kerma_sandbox.confinement import Confinement, Limits
from kerma_sandbox.files.removal import empty
from kerma_sandbox.start import Room, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kerma_sandbox.sandbox import Sandbox

SECONDS = 10.0
BYTES = 1 << 20
_KEPT = 1 << 16
ROOM = Room(size=256 << 20, files=1000)
"""What a probe may write; a task may write as much as the worker's settings say."""
_LIMITS = Limits(memory=2 << 30, address_space=16 << 30, cpu_seconds=SECONDS, file_size=64 << 20)


class Unusable(EngineError):  # noqa: N818 - a fact
    """A program can't be used; the message says why."""


@contextmanager
def _folder() -> Iterator[Path]:
    """Make a work folder for one probe; remove it whatever the program left in it."""
    folder = Path(tempfile.mkdtemp(prefix="kerma-probe-")).resolve()
    try:
        yield folder
    finally:
        empty(folder)
        with suppress(OSError):
            folder.rmdir()


def ask(
    argv: Sequence[str], own: Mapping[str, str], readable: Sequence[Path], sandbox: Sandbox
) -> str:
    """Return the first 64 KiB that a program prints, run in the environment of its tasks.

    Raises Unusable when it can't be started, exceeds a limit, takes longer than 10 s, prints more
    than 1 MiB or writes more than 256 MiB or 1000 files. The
    exit code is ignored, as some programs have no option to print their version.
    """
    with _folder() as folder:
        env = engine_environment(os.environ, folder, own)
        try:
            finished = run(
                sandbox,
                argv,
                env=env,
                confinement=Confinement(
                    folder,
                    readable_places(argv[0], env, readable, folder, sandbox.private),
                    limits=_LIMITS,
                ),
                seconds=SECONDS,
                most_output=BYTES,
                room=ROOM,
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise Unusable(f"it cannot be started: {reason}") from None
    if finished.late:
        raise Unusable(f"it did not end within {SECONDS:g} s when asked for its version")
    if finished.full:
        raise Unusable(
            f"it wrote more than {ROOM.size >> 20} MiB or {ROOM.files} files when asked for its version"
        )
    if finished.verbose:
        raise Unusable(f"it printed more than {BYTES >> 20} MiB when asked for its version")
    if (limit := finished.ended.exceeded) is not None:
        raise Unusable(f"it exceeded its {limit} limit when asked for its version")
    return finished.output[:_KEPT].decode(errors="replace")
