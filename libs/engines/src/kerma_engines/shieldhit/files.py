"""User-supplied input sets: primaries in ``beam.dat``, outputs in ``detect.dat``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kerma_engines.adapter.bins import BinCount
from kerma_engines.adapter.files import checked_files, lines_of, plain_output, put, whole
from kerma_engines.adapter.port import InputSet, Output, OutputQuantity
from kerma_engines.errors import InvalidInput, Problem
from kerma_engines.shieldhit.bins import count
from kerma_engines.shieldhit.convert.beam import RNDSEED
from kerma_engines.shieldhit.detect import blocks, old_detectors
from kerma_engines.shieldhit.paths import path_problems

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kerma_engines.shieldhit.detect import Block

REQUIRED = ("beam.dat", "geo.dat", "mat.dat", "detect.dat")

_CARDS = {
    name: re.compile(rf"\s*{name}\s+(?P<number>[^\s!]+)", re.IGNORECASE)
    for name in ("NSTAT", "RNDSEED")
}
_SEEDS = 880_000_000  # the generator takes up to 9e8, including the offsets of tasks
_COMMENT = re.compile(r"\s*[*#!]")


def accept(files: Mapping[str, str]) -> InputSet:
    """Check the files and find primaries and outputs. Raises InvalidInput."""
    files = checked_files(files)
    problems = [Problem(name, "is missing") for name in REQUIRED if name not in files]
    primaries = 0
    if "beam.dat" in files:
        primaries = _primaries(files["beam.dat"], problems)
        _check_seed(files["beam.dat"], problems)
    problems += path_problems(files)
    detect = files.get("detect.dat", "")
    outputs = tuple(_outputs(detect, problems))
    count(detect, BinCount(problems))
    if not problems and not outputs and not any(old_detectors(detect)):
        problems.append(Problem("detect.dat", "nothing is scored: it has no Output"))
    if problems:
        raise InvalidInput(tuple(problems))
    return InputSet("shieldhit", dict(files), primaries, outputs)


def with_task(beam: str, primaries: int, shift: int) -> str:
    """Return ``beam.dat`` with another number of primaries and RNDSEED increased by ``shift``."""
    lines = lines_of(beam)
    for index, match in _cards(beam, "NSTAT"):
        lines[index] = put(lines[index], *match.span("number"), str(primaries))
    if not shift:
        return "".join(lines)
    seeds = list(_cards(beam, "RNDSEED"))
    for index, match in seeds:
        seed = 1 + (int(match["number"]) - 1 + shift) % _SEEDS
        lines[index] = put(lines[index], *match.span("number"), str(seed))
    if not seeds:
        lines.insert(0, f"RNDSEED     {RNDSEED + shift}\n")
    return "".join(lines)


def _cards(beam: str, name: str) -> Iterator[tuple[int, re.Match[str]]]:
    for index, line in enumerate(lines_of(beam)):
        match = _CARDS[name].match(line)
        if match is not None and not _COMMENT.match(line):
            yield index, match


def _primaries(beam: str, problems: list[Problem]) -> int:
    found = list(_cards(beam, "NSTAT"))
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


def _check_seed(beam: str, problems: list[Problem]) -> None:
    found = list(_cards(beam, "RNDSEED"))
    if len(found) > 1:
        problems.append(Problem("beam.dat", "has more than one RNDSEED"))
    for index, match in found:
        number = match["number"]
        if not re.fullmatch(r"\d{1,9}", number) or int(number) < 1:
            reason = f"RNDSEED is no positive whole number: {number[:32]!r}"
            problems.append(Problem(f"beam.dat:{index + 1}", reason))


def _outputs(detect: str, problems: list[Problem]) -> Iterator[Output]:
    """Return the outputs that Output blocks declare.

    Detectors of the old format are read without a map.
    """
    seen: set[str] = set()
    for block in blocks(detect):
        if block.kind != "output":
            continue
        line, name, quantities = _declared(block)
        place = f"detect.dat:{line}"
        if not quantities:
            reason = "nothing is scored: this Output has no Quantity"
            problems.append(Problem(f"detect.dat:{block.line}", reason))
        if not plain_output(name):
            problems.append(Problem(place, f"not a plain file name: {name[:64]!r}"))
        elif not name.lower().endswith(".bdo"):
            problems.append(Problem(place, f"results are read from *.bdo, not {name[:64]!r}"))
        elif name in seen:
            problems.append(Problem(place, f"written twice: {name[:64]!r}"))
        else:
            stem = name[: -len(".bdo")]
            yield Output(stem, stem, name, quantities)
        seen.add(name)


def _declared(block: Block) -> tuple[int, str, tuple[OutputQuantity, ...]]:
    """Return the line that names an output's file, the file, and the quantities."""
    line, file = block.line, ""
    quantities: list[OutputQuantity] = []
    for number, words in block.below:
        key = words[0].lower()
        if key == "filename" and len(words) > 1:
            line, file = number, words[1]
        elif key == "quantity" and len(words) > 1:
            name, filters = " ".join(words[1:]), " ".join(words[2:])
            quantities.append(OutputQuantity(len(quantities), name, words[1], filters))
    return line, file, tuple(quantities)
