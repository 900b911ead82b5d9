"""Read ``engines.toml``: one table per engine, with errors that say what to write instead."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from kerma_engines.catalogue.registry import ENGINE_NAMES
from kerma_engines.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails

BUILT_IN = "geant4"
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
_OWN_VARIABLES = "KERMA_"
_EXPECTED = {
    "path": 'an absolute path in quotes, such as path = "/opt/shieldhit/bin/shieldhit"',
    "version": 'a list of arguments in quotes, such as version = ["--version"]',
    "licence": 'a text in quotes, such as licence = "registered users"',
    "environment": 'texts by variable, such as environment = { OMP_NUM_THREADS = "1" }',
    "substitute": 'the name of an engine in quotes, such as substitute = "geant4"',
    "readable": 'a list of absolute paths in quotes, such as readable = ["/opt/data"]',
}
_TABLE = 'a table with lines below it, such as [shieldhit] and then path = "/opt/bin/shieldhit"'
_NOT_BUILT_IN = {
    "path": "Geant4 comes with Kerma as the Python package geant4-pybind; remove the line",
    "version": "Geant4 reports its own version; remove the line",
    "substitute": "Geant4 comes with Kerma, nothing stands in for it; remove the line",
}


class CatalogueError(EngineError):
    """``engines.toml`` can't be used; the message names the file, the key and what is expected."""


class Entry(BaseModel):
    """The settings of one engine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path | None = None
    version: tuple[str, ...] = ()
    licence: str = ""
    environment: dict[str, str] = Field(default_factory=dict)
    substitute: str | None = None
    readable: tuple[Path, ...] = ()
    """Directories that the program reads besides its own."""


class _Tables(RootModel[dict[str, Entry]]):
    model_config = ConfigDict(frozen=True)


def read_entries(path: Path) -> dict[str, Entry]:
    """Read the tables by engine; none without a file. Raises CatalogueError with all problems."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CatalogueError(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CatalogueError(f"{path}: this is not TOML: {error}; expected: {_TABLE}") from error
    try:
        entries = _Tables.model_validate(tables).root
    except ValidationError as error:
        problems = [_explain(one) for one in error.errors(include_url=False)]
    else:
        problems = [problem for name, entry in entries.items() for problem in _check(name, entry)]
    if problems:
        raise CatalogueError("\n".join(f"{path}: {problem}" for problem in problems))
    return entries


def _explain(error: ErrorDetails) -> str:
    engine, *keys = (str(step) for step in error["loc"])
    if not keys:
        return f"{engine}: must be {_TABLE}"
    where, key = f"{engine}.{keys[0]}", keys[0]
    if key not in _EXPECTED:
        return f"{where}: no such key; known: {', '.join(_EXPECTED)}"
    if key == "environment" and len(keys) > 1:
        where = f"{where}.{keys[1]}"
    return f"{where}: must be {_EXPECTED[key]}"


def _check(name: str, entry: Entry) -> Iterator[str]:
    if name not in ENGINE_NAMES:
        yield f"{name}: no such engine; known: {', '.join(ENGINE_NAMES)}"
        return
    if name == BUILT_IN:
        for key in sorted(entry.model_fields_set & _NOT_BUILT_IN.keys()):
            yield f"{name}.{key}: {_NOT_BUILT_IN[key]}"
    if entry.substitute is not None and entry.substitute not in ENGINE_NAMES:
        known = ", ".join(ENGINE_NAMES)
        yield f"{name}.substitute: no such engine: {entry.substitute}; known: {known}"
    if entry.substitute == name != BUILT_IN:
        yield f"{name}.substitute: an engine can't stand in for itself; name another one"
    yield from _check_paths(name, entry)
    for key, value in entry.environment.items():
        if not re.match(_VARIABLE, key) or "\0" in value:
            yield f"{name}.environment: no variable: {key!r}; must be {_EXPECTED['environment']}"
        elif key.startswith(_OWN_VARIABLES):
            yield f"{name}.environment: {key} is Kerma's own and not for engines; remove it"


def _check_paths(name: str, entry: Entry) -> Iterator[str]:
    if entry.path is not None and not entry.path.is_absolute():
        yield f"{name}.path: must be {_EXPECTED['path']}; ~ and variables are not replaced"
    for path in entry.readable:
        if not path.is_absolute() or path == Path("/"):
            yield f"{name}.readable: must be {_EXPECTED['readable']}, not {str(path)!r}"
