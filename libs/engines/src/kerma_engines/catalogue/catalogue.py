"""The engines that a machine offers, from ``engines.toml`` and from probing the programs.

One table per engine::

    [shieldhit]
    path = "/opt/shieldhit/bin/shieldhit"
    version = ["--version"]        # arguments that make the program print its version
    licence = "registered users"
    environment = { OMP_NUM_THREADS = "1" }

    [fluka]
    substitute = "geant4"          # editor projects for FLUKA run on Geant4 instead

Geant4 comes with the platform and needs no table. A program without a path is looked up on PATH. A
substitute runs only for an engine that is not installed. An engine that is installed but unusable,
or whose path is wrong, is a fault to fix, and nothing substitutes for it. The digest is the SHA-256
of the program's file.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerma_engines.adapter.port import Program
from kerma_engines.catalogue.catalogue_file import BUILT_IN, CatalogueError, Entry, read_entries
from kerma_engines.catalogue.probe import Unusable, ask
from kerma_engines.catalogue.registry import ENGINE_NAMES, engine
from kerma_engines.geant4 import data
from kerma_engines.geant4.version import binding, release
from kerma_sandbox.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kerma_engines.adapter.port import Command, Engine, InputSet, Monitor
    from kerma_engines.project.project import Project
    from kerma_engines.results.estimators import Estimator

PROGRAMS = {"shieldhit": "shieldhit", "fluka": "rfluka", "topas": "topas"}
_BINDING = "geant4_pybind"
_IMPORT = f"import {_BINDING} as g4; print('imported', g4.G4VERSION_NUMBER)"
_IMPORTED = re.compile(r"imported (\d{3,5})")
_VERSION = re.compile(r"(?<![\w.])v?(\d+(?:\.\d+)+(?:[-+.][\w.]+)*)")
_PATH_VERSION = re.compile(r"(\d+[-.]\d+(?:\.\d+)*)")

__all__ = ["BUILT_IN", "Absent", "Catalogue", "CatalogueError", "Entry", "Offer", "load_catalogue"]


@dataclass(frozen=True, slots=True)
class Offer:
    """An engine that jobs may ask for here. ``runs`` is the engine that really runs."""

    name: str
    runs: str
    version: str
    digest: str
    licence: str = ""


@dataclass(frozen=True, slots=True)
class Absent:
    """An engine that is not available, and why. ``broken`` is set when it was meant to be."""

    name: str
    why: str
    broken: bool = False


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The engines of a machine. ``sandbox`` confines the programs that are probed."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    sandbox: Sandbox = field(default_factory=Sandbox)

    def entry(self, name: str) -> Entry:
        """Return the table of an engine; an empty entry if it has none."""
        return self.entries.get(name, Entry())

    def installed(self, name: str) -> bool:
        """Return whether the engine itself should run here: it has a path or is on PATH."""
        return name == BUILT_IN or self._place(name) is not None

    def runs(self, name: str, *, editor: bool) -> str | None:
        """Return the engine that runs a job for ``name``, None if none does.

        A substitute runs editor projects only: input files are written for one engine.
        """
        if self.installed(name):
            return name if name == BUILT_IN or self.program(name) is not None else None
        return self.entry(name).substitute if editor else None

    def program(self, name: str) -> Path | None:
        """Return the program of an engine, None if it is missing."""
        path = self._place(name)
        return path if path is not None and not _fault(path) else None

    def _place(self, name: str) -> Path | None:
        """Return the path where the program of an engine is, or should be."""
        path = self.entry(name).path
        if path is None and name in PROGRAMS:
            found = shutil.which(PROGRAMS[name])
            # Tasks run in other directories, and PATH may have relative entries.
            return Path(found).absolute() if found else None
        return path

    def engines(self) -> dict[str, Engine]:
        """Return the engines installed here; their commands start the installed programs."""
        return {
            name: InstalledEngine(engine(name, self.environment(name)), self)
            for name in ENGINE_NAMES
            if self.runs(name, editor=False) == name
        }

    def environment(self, name: str) -> dict[str, str]:
        """Return this process's variables with those of the engine's table."""
        return {**os.environ, **self.entry(name).environment}

    def survey(self) -> tuple[Offer | Absent, ...]:
        """Probe every engine, in the order of the registry."""
        with ThreadPoolExecutor(len(ENGINE_NAMES)) as pool:
            found = dict(zip(ENGINE_NAMES, pool.map(self.probe, ENGINE_NAMES), strict=True))
        return tuple(self._with_substitute(found[name], found) for name in ENGINE_NAMES)

    def offers(self) -> tuple[Offer, ...]:
        """Probe the engines and return those available here, in the order of the registry."""
        return tuple(found for found in self.survey() if isinstance(found, Offer))

    def _with_substitute(
        self, own: Offer | Absent, found: Mapping[str, Offer | Absent]
    ) -> Offer | Absent:
        substitute = self.entry(own.name).substitute
        if substitute is None or isinstance(own, Offer):
            return own
        if self.installed(own.name):
            return replace(
                own,
                why=f"{own.why}; {substitute} stands in only for engines that are not installed",
            )
        instead = found[substitute]
        if isinstance(instead, Offer):
            return replace(instead, name=own.name)
        why = f"{own.why}; nor is {substitute}, its substitute, available: {instead.why}"
        return Absent(own.name, why, broken=True)

    def substituting(self, engine: str) -> Catalogue:
        """Return a catalogue with ``engine`` as the substitute of engines that are not installed.

        Engines with another substitute keep it. Raises CatalogueError for an unknown engine.
        """
        if engine not in ENGINE_NAMES:
            raise CatalogueError(f"{engine}: no such engine; known: {', '.join(ENGINE_NAMES)}")
        entries = dict(self.entries)
        for name in ENGINE_NAMES:
            if name != engine and self.runs(name, editor=True) is None:
                entries[name] = self.entry(name).model_copy(update={"substitute": engine})
        return replace(self, entries=entries)

    def probe(self, name: str) -> Offer | Absent:
        """Return the version and digest of an installed engine, or why it is not available.

        The version is empty if the program does not print one. A program that exits with an error
        during the probe still counts as available: some have no option to print their version.
        """
        entry, place = self.entry(name), self._place(name)
        if name == BUILT_IN:
            return _probe_built_in(entry, self.sandbox)
        if place is None:
            return Absent(
                name, f"not installed: no {PROGRAMS[name]} on PATH, no path in the catalogue"
            )
        if fault := _fault(place):
            return Absent(name, f"{place}: {fault}", broken=True)
        try:
            output = ""
            if entry.version:
                output = ask(
                    [str(place), *entry.version], entry.environment, entry.readable, self.sandbox
                )
            digest = _digest(place)
        except Unusable as unusable:
            return Absent(name, f"{place}: {unusable}", broken=True)
        except OSError as error:
            return Absent(name, f"{place}: {error.strerror}", broken=True)
        match = _VERSION.search(output) or _PATH_VERSION.search(str(place.resolve()))
        return Offer(name, name, match[1] if match else "", digest, entry.licence)

    def start(self, name: str, command: Command) -> Command:
        """Return the command with the catalogue's program and environment."""
        own = Program(command.argv[0], command.env, command.readable)
        program = self.located(name, own)
        argv = (program.name, *command.argv[1:])
        return replace(command, argv=argv, env=program.env, readable=program.readable)

    def located(self, name: str, own: Program) -> Program:
        """Return an engine's ``own`` program with the catalogue's place and environment."""
        place, entry = self._place(name), self.entry(name)
        return Program(
            own.name if place is None else str(place),
            {**entry.environment, **own.env},
            (*own.readable, *entry.readable),
            own.refusal,
        )


@dataclass(frozen=True, slots=True)
class InstalledEngine:
    """An engine whose commands start the program that the catalogue names."""

    engine: Engine
    catalogue: Catalogue

    @property
    def name(self) -> str:
        """The engine's name."""
        return self.engine.name

    @property
    def program(self) -> Program:
        """What it starts for every task."""
        return self.catalogue.located(self.name, self.engine.program)

    def convert(self, project: Mapping[str, Any] | Project) -> InputSet:
        """Convert an editor project to input files. Raises InvalidInput with every problem found."""
        return self.engine.convert(project)

    def accept_files(self, files: Mapping[str, str]) -> InputSet:
        """Check user-supplied input files and find their primaries. Raises InvalidInput."""
        return self.engine.accept_files(files)

    def scored_bins(self, inputs: InputSet) -> int:
        """Return the bins of all quantities of a task, or more. Raises InvalidInput."""
        return self.engine.scored_bins(inputs)

    def prepare(self, inputs: InputSet, directory: Path, *, primaries: int, seed: int) -> Command:
        """Write the files of one task and return how to start it. Raises InvalidInput."""
        command = self.engine.prepare(inputs, directory, primaries=primaries, seed=seed)
        return self.catalogue.start(self.name, command)

    def monitor(self, primaries: int) -> Monitor:
        """Return a monitor for one run of ``primaries``."""
        return self.engine.monitor(primaries)

    def read(self, directory: Path, inputs: InputSet) -> tuple[Estimator, ...]:
        """Read the estimators of a finished task, in the order of the output map. Raises ReadError."""
        return self.engine.read(directory, inputs)


def load_catalogue(path: Path, sandbox: Sandbox | None = None) -> Catalogue:
    """Read ``engines.toml``; a missing file is an empty catalogue. Raises CatalogueError."""
    return Catalogue(read_entries(path), sandbox or Sandbox())


def _fault(path: Path) -> str:
    """Return why a path is not an executable program, or "" if it is one."""
    try:
        path.stat()
    except OSError as error:
        return error.strerror or "can't be looked at"
    if not path.is_file():
        return "is not a file"
    return "" if os.access(path, os.X_OK) else "is not executable"


def _probe_built_in(entry: Entry, sandbox: Sandbox) -> Offer | Absent:
    """Check Geant4, its binding and the requested data sets; the digest is that of the library."""
    spec = find_spec(_BINDING)
    if spec is None or spec.origin is None:
        return Absent(BUILT_IN, f"the Python package {_BINDING} is not installed", broken=True)
    asked = any(entry.environment.get(name) for name in (*data.DATA_SETS, data.ROOT))
    if asked and (missing := data.missing({**os.environ, **entry.environment})):
        why = f"geant4.environment asks for data sets, but these are no folders with content: {missing}"
        return Absent(BUILT_IN, why, broken=True)
    # Without these variables it asks for data sets on import, and none are needed here.
    quiet = dict.fromkeys((*data.DATA_SETS, data.ROOT), "")
    try:
        own = {**entry.environment, **quiet}
        output = ask([sys.executable, "-c", _IMPORT], own, entry.readable, sandbox)
    except Unusable as unusable:
        return Absent(BUILT_IN, f"{_BINDING}: {unusable}", broken=True)
    imported = _IMPORTED.search(output)
    if imported is None:
        last = output.strip().rpartition("\n")[2][:200]
        return Absent(BUILT_IN, f"{_BINDING} can't be imported: {last}", broken=True)
    known = f"{release(int(imported[1]))} ({binding()})"
    return Offer(BUILT_IN, BUILT_IN, known, _digest(Path(spec.origin)), entry.licence)


def _digest(path: Path) -> str:
    state = path.stat()
    return _hash(path, state.st_mtime_ns, state.st_size)


@cache
def _hash(path: Path, _changed: int, _size: int) -> str:
    """Return the digest of a file; computed again only after a change, as programs can be large."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
