"""User-supplied input sets: primaries in ``beam.dat``, outputs declared in ``detect.dat``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kerma_engines.engine import InputSet, Output, OutputQuantity
from kerma_engines.errors import InvalidInput, Problem
from kerma_engines.files import check_files, lines_of, plain_output, put, whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REQUIRED = ("beam.dat", "geo.dat", "mat.dat", "detect.dat")

_NSTAT = re.compile(r"\s*NSTAT\s+(?P<number>[^\s!]+)", re.IGNORECASE)
_COMMENT = re.compile(r"\s*[*#!]")


def accept(files: Mapping[str, str]) -> InputSet:
    """Checks the files and finds primaries and outputs. Raises InvalidInput."""
    check_files(files)
    problems = [Problem(name, "is missing") for name in REQUIRED if name not in files]
    primaries = 0
    if "beam.dat" in files:
        found = list(_nstat(files["beam.dat"]))
        primaries = _primaries(found, problems)
    outputs = tuple(_outputs(files.get("detect.dat", ""), problems))
    if problems:
        raise InvalidInput(tuple(problems))
    return InputSet("shieldhit", dict(files), primaries, outputs)


def with_primaries(beam: str, primaries: int) -> str:
    """``beam.dat`` with another number of primaries, otherwise unchanged."""
    lines = lines_of(beam)
    for index, match in _nstat(beam):
        lines[index] = put(lines[index], *match.span("number"), str(primaries))
    return "".join(lines)


def _nstat(beam: str) -> Iterator[tuple[int, re.Match[str]]]:
    for index, line in enumerate(lines_of(beam)):
        match = _NSTAT.match(line)
        if match is not None and not _COMMENT.match(line):
            yield index, match


def _primaries(found: list[tuple[int, re.Match[str]]], problems: list[Problem]) -> int:
    if len(found) != 1:
        reason = "has no NSTAT" if not found else "has more than one NSTAT"
        problems.append(Problem("beam.dat", reason))
        return 0
    index, match = found[0]
    primaries = whole(match["number"])
    if primaries is None:
        reason = f"NSTAT is no number of primaries: {match['number'][:32]!r}"
        problems.append(Problem(f"beam.dat:{index + 1}", reason))
    return primaries or 0


@dataclass(slots=True)
class _Block:
    line: int
    file: str = ""
    quantities: list[OutputQuantity] | None = None


def _outputs(detect: str, problems: list[Problem]) -> Iterator[Output]:
    """What the Output blocks declare; files of older form declare nothing that is recognised."""
    seen: set[str] = set()
    for block in _blocks(detect):
        name = block.file
        place = f"detect.dat:{block.line}"
        if not plain_output(name):
            problems.append(Problem(place, f"not a plain file name: {name[:64]!r}"))
        elif not name.lower().endswith(".bdo"):
            problems.append(Problem(place, f"results are read from *.bdo, not {name[:64]!r}"))
        elif name in seen:
            problems.append(Problem(place, f"written twice: {name[:64]!r}"))
        else:
            stem = name[: -len(".bdo")]
            yield Output(stem, stem, name, tuple(block.quantities or ()))
        seen.add(name)


def _blocks(detect: str) -> Iterator[_Block]:
    block: _Block | None = None
    for number, line in enumerate(detect.splitlines(), start=1):
        words = line.split("!")[0].split("#")[0].split()
        if not words or line.lstrip().startswith("*"):
            continue
        key = words[0].lower()
        if key in {"geometry", "filter", "settings", "output"}:
            if block is not None:
                yield block
            block = _Block(number, quantities=[]) if key == "output" else None
        elif block is not None and block.quantities is not None:
            if key == "filename" and len(words) > 1:
                block.file, block.line = words[1], number
            elif key == "quantity" and len(words) > 1:
                name = " ".join(words[1:])
                filters = " ".join(words[2:])
                quantity = OutputQuantity(len(block.quantities), name, words[1], filters)
                block.quantities.append(quantity)
    if block is not None:
        yield block
