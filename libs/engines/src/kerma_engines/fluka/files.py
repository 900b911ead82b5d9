"""User-supplied FLUKA input: primaries in START, seed in RANDOMIZ, units that are written.

Cards are in fixed columns or free format; which one is seen from the card itself: in fixed
columns the second field begins in column 11.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kerma_engines.conversion import fixed
from kerma_engines.engine import InputSet, Output, OutputQuantity
from kerma_engines.errors import InvalidInput, Problem
from kerma_engines.files import check_files, lines_of, whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SEPARATORS = r"[\s,;:/\\]+"
_ESTIMATORS = ("USRBIN", "USRTRACK", "USRBDX", "RESNUCLE")
_INPUT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,60}\.inp")


def accept(files: Mapping[str, str]) -> InputSet:
    """Checks the files and finds primaries and outputs. Raises InvalidInput."""
    check_files(files)
    problems: list[Problem] = []
    inputs = [name for name in files if name.lower().endswith(".inp")]
    if len(inputs) != 1:
        problems.append(Problem("files", f"FLUKA takes one file *.inp, here are {len(inputs)}"))
        raise InvalidInput(tuple(problems))
    name = inputs[0]
    if not _INPUT.fullmatch(name):
        reason = "the name of the input may hold letters, digits, '_' and '-' only, then .inp"
        problems.append(Problem(name, reason))
    primaries = _primaries(name, files[name], problems)
    if len(list(_cards(files[name], "RANDOMIZ"))) > 1:
        problems.append(Problem(name, "has more than one RANDOMIZ card"))
    if problems:
        raise InvalidInput(tuple(problems))
    return InputSet("fluka", dict(files), primaries, tuple(_outputs(files[name])))


def input_name(files: Mapping[str, str]) -> str:
    """The one input file of an accepted or converted set."""
    return next(name for name in files if name.lower().endswith(".inp"))


def with_task(text: str, primaries: int, seed: int) -> str:
    """The input with other primaries and seed; all other fields and lines stay as they are."""
    lines = lines_of(text)
    ((start, _),) = _cards(text, "START")
    lines[start] = _with_what(lines[start], 1, primaries)
    seeds = [index for index, _ in _cards(text, "RANDOMIZ")]
    if seeds:
        lines[seeds[0]] = _with_what(lines[seeds[0]], 2, seed)
    else:
        lines.insert(start, f"{'RANDOMIZ':<10}{fixed(1.0, 10):>10}{fixed(seed, 10):>10}\n")
    return "".join(lines)


def _cards(text: str, name: str) -> Iterator[tuple[int, str]]:
    """Lines of a card: comments, the title and what follows STOP are none."""
    title = False
    for index, line in enumerate(lines_of(text)):
        word = re.split(_SEPARATORS, line.lstrip(), maxsplit=1)[0].upper()
        if title:
            title = False
        elif word == "TITLE":
            title = True
        elif word[:8] == "STOP":
            return
        elif word[:8] == name:
            yield index, line


def _is_fixed(line: str) -> bool:
    """Whether a card stands in fixed columns: its name alone in the first ten, no separators."""
    return len(line[:10].split()) == 1 and not re.search(r"[,;:/\\]", line[:70])


def _whats(line: str) -> list[str]:
    if _is_fixed(line):
        return [line[start : start + 10].strip() for start in range(10, 70, 10)]
    return re.split(_SEPARATORS, line.strip())[1:]


def _with_what(line: str, number: int, value: int) -> str:
    """The card with another number in one field."""
    if _is_fixed(line):
        body, end = line.rstrip("\r\n"), line[len(line.rstrip("\r\n")) :]
        start = 10 * number
        body = body.ljust(start + 10)
        return f"{body[:start]}{fixed(value, 10):>10}{body[start + 10 :]}".rstrip(" ") + end
    words = list(re.finditer(r"[^\s,;:/\\]+", line))
    if number < len(words):
        first, last = words[number].span()
        return f"{line[:first]}{value}.{line[last:]}"
    body = line.rstrip("\r\n")
    missing = " ".join(["0.0"] * (number - len(words)) + [f"{value}."])
    return f"{body} {missing}{line[len(body) :]}"


def _primaries(name: str, text: str, problems: list[Problem]) -> int:
    found = list(_cards(text, "START"))
    if len(found) != 1:
        reason = "has no START card" if not found else "has more than one START card"
        problems.append(Problem(name, reason))
        return 0
    index, line = found[0]
    whats = _whats(line)
    primaries = whole(whats[0]) if whats else None
    if primaries is None:
        problems.append(Problem(f"{name}:{index + 1}", "START holds no number of primaries"))
    return primaries or 0


def _outputs(text: str) -> Iterator[Output]:
    """Units written without format, in the order of the cards, with the detectors on them."""
    units: dict[str, list[OutputQuantity]] = {}
    for kind in _ESTIMATORS:
        for index, line in _cards(text, kind):
            whats, name = _whats(line), line.rstrip("\r\n")[70:].strip()
            if name.endswith("&") or len(whats) < 3:
                continue
            unit = _unit(whats[2])
            if unit is not None:
                listed = units.setdefault(unit, [])
                label = name or f"line {index + 1}"
                listed.append(OutputQuantity(len(listed), label, whats[1] or kind))
    for unit, quantities in units.items():
        yield Output(unit, unit, unit, tuple(quantities))


def _unit(what: str) -> str | None:
    try:
        number = float(what)
    except ValueError:
        return None
    # positive units are text, which is not read back
    return str(int(-number)) if -99 <= number <= -21 else None
