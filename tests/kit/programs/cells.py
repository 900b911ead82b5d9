"""A work folder and a hostile program that may work in it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

from kerma_sandbox.confinement import Confinement, Exit, Limits
from kerma_sandbox.sandbox import Level, Sandbox
from kerma_sandbox.start import run

HOSTILE, HOARD = (Path(__file__).with_name(name) for name in ("hostile.py", "hoard.py"))
SYSTEM_PYTHON = next(
    (str(p) for p in map(Path, ("/usr/bin/python3", "/usr/local/bin/python3")) if p.exists()), None
)
LEVELS = (Level.NAMESPACES, Level.LANDLOCK, Level.USER)


@dataclass(frozen=True)
class Cell:
    """A work folder and a hostile program that may work in it."""

    sandbox: Sandbox
    folder: Path
    program: Path

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def argv(self, mode: str, *arguments: object) -> list[str]:
        python = SYSTEM_PYTHON or sys.executable
        return [python, "-I", "-S", str(self.program), mode, *map(str, arguments)]

    def confinement(self, limits: Limits) -> Confinement:
        return Confinement(self.work, (self.program,), limits=limits)

    def does(self, mode: str, *arguments: object, limits: Limits | None = None) -> tuple[str, Exit]:
        """Run it; return its output and how it ended."""
        made = self.confinement(limits or Limits())
        finished = run(
            self.sandbox,
            self.argv(mode, *arguments),
            env={"LC_ALL": "C"},
            confinement=made,
            seconds=60,
            most_output=1 << 16,
        )
        assert not finished.late
        return finished.output.decode(), finished.ended


def working_below(folder: Path) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder) and process.status() != "zombie":
                found.append(process.pid)
        except psutil.Error:
            continue
    return found
