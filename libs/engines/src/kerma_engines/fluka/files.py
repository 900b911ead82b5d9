"""User-supplied FLUKA input: primaries in START, seed in RANDOMIZ, units that are written.

The FLUKA manual says which cards write where: detectors (USRBIN, USRTRACK, USRCOLL, USRBDX,
RESNUCLEi) on a chosen unit, unformatted when its number is negative, otherwise as text or into the
log; USRCOLL in the format of USRTRACK. Only unformatted files are read back, so output that goes
elsewhere is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kerma_engines.adapter.bins import BinCount
from kerma_engines.adapter.files import checked_files, lines_of, whole
from kerma_engines.adapter.port import InputSet, Output, OutputQuantity
from kerma_engines.errors import InvalidInput, Problem
from kerma_engines.fluka.bins import count
from kerma_engines.fluka.convert.cards import card
from kerma_engines.fluka.input import cards, input_name, number
from kerma_engines.fluka.paths import path_problems
from kerma_engines.fluka.read.scores import particle_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kerma_engines.fluka.input import Card

_UNIT_WHAT = {"USRBIN": 3, "USRTRACK": 3, "USRCOLL": 3, "USRBDX": 3, "RESNUCLE": 2}
"""The WHAT of a detector that names its unit."""

_FORMATS = {"USRCOLL": "USRTRACK"}
_UNREAD = {
    "USRYIELD": "use USRBDX or USRTRACK instead",
    "EVENTBIN": "use USRBIN instead",
    "EVENTDAT": "use USRBIN by region instead",
    "DETECT": "use USRBIN by region instead",
    "USERDUMP": "use USRBDX or USRTRACK instead",
}
"""Cards that write results which can't be read back, and what to use instead."""

_LOWEST, _HIGHEST = 21, 99
"""Units that FLUKA itself does not use."""

_INPUT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,60}\.inp")


def accept(files: Mapping[str, str]) -> InputSet:
    """Check the files and find primaries and outputs. Raises InvalidInput."""
    files = checked_files(files)
    problems: list[Problem] = []
    inputs = [name for name in files if name.lower().endswith(".inp")]
    if len(inputs) != 1:
        problems.append(Problem("files", f"FLUKA takes one file *.inp, here are {len(inputs)}"))
        raise InvalidInput(tuple(problems))
    name = inputs[0]
    if not _INPUT.fullmatch(name):
        reason = "the name of the input may hold letters, digits, '_' and '-' only, then .inp"
        problems.append(Problem(name, reason))
    found = list(cards(files, name))
    primaries = _primaries(name, found, problems)
    _check_seed(name, found, problems)
    outputs = _outputs(found, problems)
    count(found, files, BinCount(problems))
    problems += path_problems(found, files)
    if not outputs and not problems:
        detectors = ", ".join(_UNIT_WHAT)
        problems.append(Problem(name, f"nothing is scored: it has none of {detectors}"))
    if problems:
        raise InvalidInput(tuple(problems))
    return InputSet("fluka", dict(files), primaries, outputs)


def with_task(files: Mapping[str, str], primaries: int, seed: int) -> str:
    """Return the input with other primaries and seed; all other fields and lines are unchanged.

    The result is parsed again: tasks with the same random numbers would be worse than none.
    """
    name = input_name(files)
    lines = lines_of(files[name])
    found = list(cards(files, name))
    start = next(known for known in found if known.name == "START")
    lines[start.line] = start.with_what(1, primaries)
    seeds = [known for known in found if known.name == "RANDOMIZ"]
    if seeds:
        lines[seeds[0].line] = seeds[0].with_what(2, seed)
    else:
        lines.insert(start.line, card("RANDOMIZ", [1.0, seed]) + "\n")
    text = "".join(lines)
    written = {known.name: known for known in cards({**files, name: text}, name)}
    if (written["START"].number(1), written["RANDOMIZ"].number(2)) != (primaries, seed):
        raise InvalidInput((Problem(name, "primaries and seed can't be set in these cards"),))
    return text


def _primaries(name: str, found: Iterable[Card], problems: list[Problem]) -> int:
    starts = [known for known in found if known.name == "START"]
    if len(starts) != 1:
        reason = "has no START card" if not starts else "has more than one START card"
        problems.append(Problem(name, reason))
        return 0
    (start,) = starts
    primaries = whole(start.whats[0])
    if start.included:
        problems.append(Problem(start.place, f"START must stand in {name} itself"))
    elif primaries is None:
        given = f", but {start.whats[0][:32]!r}" if start.whats[0] else ""
        reason = f"START holds no number of primaries{given}; write the number itself"
        problems.append(Problem(start.place, reason))
    return primaries or 0


def _check_seed(name: str, found: Iterable[Card], problems: list[Problem]) -> None:
    """Check that RANDOMIZ is one card of numbers, in the input itself, before START."""
    started = False
    seeds = 0
    for known in found:
        started = started or known.name == "START"
        if known.name != "RANDOMIZ":
            continue
        seeds += 1
        if known.included:
            problems.append(Problem(known.place, f"RANDOMIZ must stand in {name} itself"))
        if started:
            problems.append(Problem(known.place, "RANDOMIZ has no effect after START"))
        if None in (known.number(1), known.number(2)):
            columns = "" if known.free else " in columns 11 to 30; free format needs a card FREE"
            problems.append(Problem(known.place, f"RANDOMIZ holds no numbers{columns}"))
    if seeds > 1:
        problems.append(Problem(name, "has more than one RANDOMIZ card"))


def _outputs(found: Iterable[Card], problems: list[Problem]) -> tuple[Output, ...]:
    """Return units written unformatted, in the order of the cards, with their detectors."""
    units: dict[int, list[OutputQuantity]] = {}
    kinds: dict[int, str] = {}
    opened: list[Card] = []
    for known in found:
        if known.name == "OPEN":
            opened.append(known)
        elif reason := _why_unread(known):
            problems.append(Problem(known.place, reason))
        elif known.name in _UNIT_WHAT and not known.continues:
            unit = _unit(known, problems)
            if unit is None:
                continue
            kind = _FORMATS.get(known.name, known.name)
            if kinds.setdefault(unit, kind) != kind:
                reason = f"unit {unit} is that of {kinds[unit]} already; give {known.name} another"
                problems.append(Problem(known.place, reason))
            listed = units.setdefault(unit, [])
            label = known.sdum or f"line {known.line + 1}"
            listed.append(OutputQuantity(len(listed), label, _scored(known)))
    for known in opened:
        if (value := known.number(1)) is not None and abs(value) in units:
            reason = f"OPEN gives unit {abs(value):g} a file of its own, which is not found again"
            problems.append(Problem(known.place, f"{reason}; leave it out"))
    return tuple(Output(str(u), str(u), str(u), tuple(listed)) for u, listed in units.items())


def _why_unread(known: Card) -> str:
    """Return why the results that a card asks for would be lost, or ""."""
    if known.name == "#include":
        return f"includes {known.sdum[:64]!r}, which is not here or was included before"
    if known.name in _UNREAD and not known.continues:
        return f"results of {known.name} can't be read back; {_UNREAD[known.name]}"
    return ""


def _unit(known: Card, problems: list[Problem]) -> int | None:
    """Return the unit of a detector if it is read back."""
    what = _UNIT_WHAT[known.name]
    value, text = known.number(what), known.whats[what - 1]
    where = f"WHAT({what}) of {known.name}"
    numbers = f"a unit from -{_HIGHEST} to -{_LOWEST}"
    if value is None or not value.is_integer():
        reason = f"{where} is no number of a unit: {text[:32]!r}; write {numbers}"
    elif -_HIGHEST <= value <= -_LOWEST:
        return int(-value)
    elif value in (0, 11):
        reason = f"{where} sends results into the log, which is not read; write {numbers}"
    elif _LOWEST <= value <= _HIGHEST:
        reason = f"{where} asks for text on unit {value:g}, which is not read; write {-value:g}"
    else:
        reason = f"{where} is {value:g}; write {numbers}"
    problems.append(Problem(known.place, reason))
    return None


def _scored(known: Card) -> str:
    """Return what a detector scores: a name of FLUKA's, or the detector's type."""
    what = known.whats[1]
    value = number(what) if what and known.name != "RESNUCLE" else 0.0
    if value is None:
        return what
    return particle_name(int(value)) if value and abs(value) < 1e6 else known.name
