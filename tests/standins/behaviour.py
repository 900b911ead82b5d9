"""The behaviour of a stand-in, set by the environment or at installation.

``KERMA_STANDIN_MODE`` is one of the modes below; ``KERMA_STANDIN_SECONDS`` is the duration of a
run.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

MODE, SECONDS = "KERMA_STANDIN_MODE", "KERMA_STANDIN_SECONDS"
STEPS = 10


class Mode(StrEnum):
    """What goes wrong, if anything."""

    OK = "ok"
    SLOW = "slow"  # a minute unless set otherwise
    CRASH = "crash"  # a segmentation fault half way
    GARBAGE = "garbage"  # log lines and results are random bytes
    NO_MARKER = "no-marker"  # never reports that it has finished
    PARTIAL = "partial"  # the first result is truncated, the others are missing
    IGNORES_SIGTERM = "ignores-sigterm"


@dataclass(frozen=True)
class Behaviour:
    """Mode, duration, and random numbers of the seed: same seed, same results."""

    mode: Mode
    seconds: float
    seed: int

    @classmethod
    def of(cls, seed: int) -> Behaviour:
        """Read the behaviour from the environment."""
        mode = Mode(os.environ.get(MODE, "ok"))
        long = mode in (Mode.SLOW, Mode.IGNORES_SIGTERM)
        seconds = float(os.environ.get(SECONDS, "60" if long else "0.2"))
        return cls(mode, seconds, seed)

    def random(self) -> np.random.Generator:
        """The random generator of this run."""
        return np.random.default_rng(self.seed)

    def progress(self, primaries: int) -> Iterator[tuple[int, float]]:
        """Yield primaries done and seconds left, at the set pace; crash in that mode."""
        if self.mode is Mode.IGNORES_SIGTERM:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        began = time.monotonic()
        for step in range(1, STEPS + 1):
            left = began + self.seconds * step / STEPS - time.monotonic()
            time.sleep(max(left, 0.0))
            if self.mode is Mode.CRASH and step > STEPS // 2:
                os.kill(os.getpid(), signal.SIGSEGV)
            yield primaries * step // STEPS, self.seconds * (1 - step / STEPS)

    def say(self, lines: list[str], *targets: TextIO, end: bool = False) -> None:
        """Write lines; noise in their place in garbage mode. ``end`` marks success."""
        if end and self.mode is Mode.NO_MARKER:
            return
        for target in targets:
            for line in lines:
                noise = self.mode is Mode.GARBAGE
                target.write(
                    "".join(map(chr, np.random.default_rng().integers(1, 255, 60)))
                    if noise
                    else line
                )
                target.write("\n")
            target.flush()

    def write(self, files: list[tuple[Path, bytes]]) -> list[Path]:
        """Write result files as the mode requires; return those written."""
        if self.mode is Mode.PARTIAL:
            files = [(path, data[: len(data) // 2]) for path, data in files[:1]]
        elif self.mode is Mode.GARBAGE:
            noise = self.random()
            files = [(path, noise.bytes(len(data))) for path, data in files]
        for path, data in files:
            path.write_bytes(data)
        return [path for path, _ in files]


def install(folder: Path, mode: Mode = Mode.OK, seconds: float | None = None) -> Path:
    """Install programs named shieldhit, rfluka and topas in ``folder``, which tests put on PATH.

    They behave by ``mode`` and ``seconds`` unless their environment overrides it. Their imports are
    copied beside them, as an engine reads only its own directory.
    """
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / "lib"
    own = Path(__file__).parent
    shutil.copytree(
        own,
        beside / own.name,
        ignore=shutil.ignore_patterns("__pycache__"),
        dirs_exist_ok=True,
    )
    for program in ("shieldhit", "rfluka", "topas"):
        path = folder / program
        path.write_text(
            f"#!{sys.executable}\n"
            "import os, sys\n"
            f"sys.path.insert(0, {str(beside)!r})\n"
            f"os.environ.setdefault({MODE!r}, {mode.value!r})\n"
            + (f"os.environ.setdefault({SECONDS!r}, '{seconds}')\n" if seconds is not None else "")
            + f"from standins.{program} import main\n"
            "sys.exit(main(sys.argv[1:]))\n"
        )
        path.chmod(0o755)
    return folder


def clock(seconds: float) -> tuple[int, int, int]:
    """Format a time as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return (*divmod(minutes, 60), rest)
