"""TOPAS as an engine: convert, prepare, watch, read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kerma_engines.adapter.files import limit_primaries, write_files
from kerma_engines.adapter.outputs import read_outputs
from kerma_engines.adapter.port import Command
from kerma_engines.project.project import parse_project
from kerma_engines.topas.convert.beam import SOURCE
from kerma_engines.topas.convert.convert import PARAMETER_FILE, convert
from kerma_engines.topas.files import accept, with_task
from kerma_engines.topas.monitor import TopasMonitor
from kerma_engines.topas.read.pages import files_of, joined
from kerma_engines.topas.read.read import read, read_topas_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kerma_engines.adapter.port import InputSet
    from kerma_engines.results.estimators import Estimator
    from kerma_engines.topas.read.pages import Entry

_MOST_PRIMARIES = 2**31 - 1
_SEEDS = 2**31 - 1
_THREADS = 1  # a task has one core; a job has many tasks


@dataclass(frozen=True, slots=True)
class Topas:
    """The engine."""

    name: str = "topas"

    def convert(self, project: Mapping[str, Any]) -> InputSet:
        """Input files of an editor project. Raises InvalidInput with every problem found."""
        return convert(parse_project(project))

    def accept_files(self, files: Mapping[str, str]) -> InputSet:
        """Check user-supplied input files and find their primaries. Raises InvalidInput."""
        return accept(files)

    def prepare(self, inputs: InputSet, directory: Path, *, primaries: int, seed: int) -> Command:
        """Write the files of one task and say how to start it.

        Raises InvalidInput for more primaries than the engine counts.
        """
        limit_primaries("TOPAS", primaries, _MOST_PRIMARIES)
        main = str(inputs.options.get("main", PARAMETER_FILE))
        number = 1 + (seed - 1) % _SEEDS
        source = str(inputs.options.get("source", SOURCE))
        random = bool(inputs.options.get("random"))
        text = with_task(inputs.files[main], source, primaries, number, _THREADS, random=random)
        write_files(directory, {**inputs.files, main: text})
        return Command(("topas", main), results=("*.csv", main))

    def monitor(self, primaries: int) -> TopasMonitor:
        """A monitor for one run of ``primaries``."""
        return TopasMonitor(primaries)

    def read(self, directory: Path, inputs: InputSet) -> tuple[Estimator, ...]:
        """Estimators of a finished task, ordered by the output map. Raises ReadError.

        TOPAS writes one file per scorer; those of one output become pages of one estimator, and
        those of two scorers one page where the quantity is their quotient.
        """
        files: dict[str, list[Entry]] | None = inputs.options.get("files")
        if not files:
            return read(directory, inputs)
        parts = {entries[0]["file"]: entries for entries in files.values()}

        def find(file: str) -> Path | None:
            whole = all((directory / name).is_file() for name in files_of(parts[file]))
            return directory / file if whole else None

        def read_parts(path: Path) -> Estimator:
            return joined(directory, parts[path.name], read_topas_file)

        return read_outputs(inputs, find, (), read_parts)
