"""Which engines a machine offers: ``engines.toml`` and what the installed programs say.

One table per engine::

    [shieldhit]
    path = "/opt/shieldhit/bin/shieldhit"
    version = ["--version"]        # arguments that make the program tell its version
    licence = "registered users"
    environment = { OMP_NUM_THREADS = "1" }

    [fluka]
    substitute = "geant4"          # editor projects for FLUKA run on Geant4 instead

Geant4 comes with the platform and needs no table. A program without a path is looked for on
PATH. The digest is SHA-256 of the program's file.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from kerma_engines.errors import EngineError
from kerma_engines.geant4.data import DATA_SETS
from kerma_engines.registry import ENGINE_NAMES, engine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kerma_engines.engine import Command, Engine, InputSet, Monitor
    from kerma_engines.estimators import Estimator

BUILT_IN = "geant4"
PROGRAMS = {"shieldhit": "shieldhit", "fluka": "rfluka", "topas": "topas"}
_BINDING = "geant4_pybind"
_IMPORTED = "imported"
_IMPORT = f"import {_BINDING}; print({_IMPORTED!r}, end='')"
_PROBE_SECONDS = 20.0
_PROBE_CHARACTERS = 65_536
_VERSION = re.compile(r"(?<![\w.])v?(\d+(?:\.\d+)+(?:[-+.][\w.]+)*)")
_PATH_VERSION = re.compile(r"(\d+[-.]\d+(?:\.\d+)*)")
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"


class CatalogueError(EngineError):
    """``engines.toml`` can't be used; the text names the file and the key."""


class Entry(BaseModel):
    """What the catalogue says of one engine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path | None = None
    version: tuple[str, ...] = ()
    licence: str = ""
    environment: dict[str, str] = Field(default_factory=dict)
    substitute: str | None = None


class _Tables(RootModel[dict[str, Entry]]):
    model_config = ConfigDict(frozen=True)


@dataclass(frozen=True, slots=True)
class Offer:
    """An engine that jobs may ask for here. ``runs`` is the engine that really runs."""

    name: str
    runs: str
    version: str
    digest: str
    licence: str = ""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The engines of a machine."""

    entries: Mapping[str, Entry] = field(default_factory=dict)

    def entry(self, name: str) -> Entry:
        """What is known of an engine; nothing for one without a table."""
        return self.entries.get(name, Entry())

    def runs(self, name: str, *, editor: bool) -> str | None:
        """The engine that runs a job for ``name``; None if none does.

        One engine stands in for another for editor projects only: input files are made for one.
        """
        if name == BUILT_IN or self.program(name) is not None:
            return name
        return self.entry(name).substitute if editor else None

    def program(self, name: str) -> Path | None:
        """The program of an engine, if it is installed."""
        path = self.entry(name).path
        if path is None and name in PROGRAMS:
            found = shutil.which(PROGRAMS[name])
            return Path(found) if found else None
        return path if path is not None and _is_program(path) else None

    def engines(self) -> dict[str, Engine]:
        """The engines that are installed here, ready to prepare commands that start them."""
        return {
            name: InstalledEngine(engine(name), self)
            for name in ENGINE_NAMES
            if self.runs(name, editor=False) == name
        }

    def offers(self) -> tuple[Offer, ...]:
        """All engines available here, in the order of the registry, asked for their versions."""
        probed = {name: offer for name in self.engines() if (offer := self.probe(name))}
        runs = {name: self.runs(name, editor=True) or "" for name in ENGINE_NAMES}
        return tuple(
            replace(probed[engine], name=name) for name, engine in runs.items() if engine in probed
        )

    def substituting(self, engine: str) -> Catalogue:
        """With ``engine`` for every other one that is not installed and has no other substitute.

        Raises CatalogueError for an unknown engine.
        """
        if engine not in ENGINE_NAMES:
            raise CatalogueError(f"{engine}: no such engine; known: {', '.join(ENGINE_NAMES)}")
        entries = dict(self.entries)
        for name in ENGINE_NAMES:
            if name != engine and self.runs(name, editor=True) is None:
                entries[name] = self.entry(name).model_copy(update={"substitute": engine})
        return Catalogue(entries)

    def probe(self, name: str) -> Offer | None:
        """Version and digest of an installed engine; None when it can't be started.

        They are empty where the program does not tell. A program that ends with an error when
        asked for its version still counts: some have no way to tell it.
        """
        entry, program = self.entry(name), self.program(name)
        if program is None:
            return _probe_built_in(entry) if name == BUILT_IN else None
        told = _ask([str(program), *entry.version], entry.environment) if entry.version else ""
        if told is None:
            return None
        match = _VERSION.search(told) or _PATH_VERSION.search(str(program.resolve()))
        return Offer(name, name, match[1] if match else "", _digest(program), entry.licence)

    def start(self, name: str, command: Command) -> Command:
        """The command with the catalogue's program and environment in place."""
        program = self.program(name)
        argv = command.argv if program is None else (str(program), *command.argv[1:])
        return replace(command, argv=argv, env={**self.entry(name).environment, **command.env})


@dataclass(frozen=True, slots=True)
class InstalledEngine:
    """An engine whose commands start the program that the catalogue names."""

    engine: Engine
    catalogue: Catalogue

    @property
    def name(self) -> str:
        """The engine's name."""
        return self.engine.name

    def convert(self, project: Mapping[str, Any]) -> InputSet:
        """Input files of an editor project. Raises InvalidInput with every problem found."""
        return self.engine.convert(project)

    def accept_files(self, files: Mapping[str, str]) -> InputSet:
        """Check user-supplied input files and find their primaries. Raises InvalidInput."""
        return self.engine.accept_files(files)

    def prepare(self, inputs: InputSet, directory: Path, *, primaries: int, seed: int) -> Command:
        """Write the files of one task and say how to start it. Raises InvalidInput."""
        command = self.engine.prepare(inputs, directory, primaries=primaries, seed=seed)
        return self.catalogue.start(self.name, command)

    def monitor(self, primaries: int) -> Monitor:
        """A monitor for one run of ``primaries``."""
        return self.engine.monitor(primaries)

    def read(self, directory: Path, inputs: InputSet) -> tuple[Estimator, ...]:
        """Estimators of a finished task, ordered by the output map. Raises ReadError."""
        return self.engine.read(directory, inputs)


def load_catalogue(path: Path) -> Catalogue:
    """Reads ``engines.toml``; a missing file is an empty catalogue. Raises CatalogueError."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Catalogue()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CatalogueError(f"{path}: {error}") from error
    try:
        entries = _Tables.model_validate(tables).root
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise CatalogueError(f"{path}: {where}: {first['msg']}") from error
    for name, entry in entries.items():
        _check(path, name, entry)
    return Catalogue(entries)


def _check(path: Path, name: str, entry: Entry) -> None:
    if name not in ENGINE_NAMES:
        raise CatalogueError(f"{path}: {name}: no such engine; known: {', '.join(ENGINE_NAMES)}")
    if entry.substitute is not None and entry.substitute not in ENGINE_NAMES:
        raise CatalogueError(f"{path}: {name}.substitute: no such engine: {entry.substitute}")
    if entry.substitute == name:
        raise CatalogueError(f"{path}: {name}.substitute: an engine can't stand in for itself")
    if entry.path is not None and not entry.path.is_absolute():
        raise CatalogueError(f"{path}: {name}.path: must be absolute")
    for key in entry.environment:
        if not re.match(_VARIABLE, key):
            raise CatalogueError(f"{path}: {name}.environment: no variable name: {key!r}")


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _probe_built_in(entry: Entry) -> Offer | None:
    """The Geant4 binding with the digest of its library; None if it can't be imported."""
    spec = find_spec(_BINDING)
    if spec is None or spec.origin is None:
        return None
    # it asks for data sets when imported without these variables, and needs none of them here
    quiet = dict.fromkeys((*DATA_SETS, "GEANT4_DATA_DIR"), "")
    said = _ask([sys.executable, "-c", _IMPORT], quiet)
    if said is None or _IMPORTED not in said:
        return None
    known = version(_BINDING.replace("_", "-"))
    return Offer(BUILT_IN, BUILT_IN, known, _digest(Path(spec.origin)), entry.licence)


def _ask(argv: list[str], environment: Mapping[str, str]) -> str | None:
    """What a program prints; None when it can't be started or takes too long."""
    try:
        done = subprocess.run(
            argv,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout[:_PROBE_CHARACTERS].decode(errors="replace")


def _digest(path: Path) -> str:
    state = path.stat()
    return _hash(path, state.st_mtime_ns, state.st_size)


@cache
def _hash(path: Path, _changed: int, _size: int) -> str:
    """Digest of a file; asked again only when it changed, as programs can be large."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
