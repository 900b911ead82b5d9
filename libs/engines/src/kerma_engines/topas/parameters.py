"""TOPAS parameter files: what they say, chains of them, and how many histories that makes.

After the TOPAS user guide, "Syntax", "Hierarchical Control" and "Time mode": names and types mean
the same in any case, file names don't; a comment goes from ``#`` to the end of the line; a value
goes on until an empty line or one with ``=``; what a file says goes before what it includes.

Histories: NumberOfHistoriesInRun for each of NumberOfSequentialTimes runs, or, where time is
random, NumberOfHistoriesInRandomJob altogether, one per run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kerma_engines.adapter.files import whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_LINES = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_REFERENCES = 10  # from one parameter to the next
_MOST_FILES = 100
_TRUE, _FALSE = {"true", "t", "1"}, {"false", "f", "0"}

IN_RUN, IN_RANDOM_JOB = "NumberOfHistoriesInRun", "NumberOfHistoriesInRandomJob"
RANDOM_TIMES, TIMES = "tf/randomizetimedistribution", "tf/numberofsequentialtimes"
_DEFAULT_RANDOM_JOB = 100


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter: its value in one line, without comments, with quotes.

    ``start`` and ``end`` are where the value stands in the text of the file, if in one line.
    """

    name: str
    value: str
    file: str
    line: int
    start: int
    end: int
    continued: bool = False

    @property
    def key(self) -> str:
        """The name as TOPAS compares it."""
        return self.name.lower()

    @property
    def place(self) -> str:
        """``<file>:<line>``, lines counted from 1."""
        return f"{self.file}:{self.line}"


Parameters = dict[str, Parameter]
"""By lower-case name."""


def parse(file: str, text: str) -> Iterator[Parameter]:
    """The parameters of one file, ``includeFile`` among them, in their order."""
    current: list[str] = []
    place = (0, 0, 0)
    name, offset = "", 0
    for number, line in enumerate(_LINES.findall(text), start=1):
        body = line.split("#", 1)[0].rstrip()
        left, equals, right = body.partition("=")
        if current and (equals or not line.strip()):
            yield _parameter(name, current, file, place)
            current = []
        if equals:
            name = left.strip().rpartition(":")[2]
            current = [right.strip()]
            end = offset + len(body)
            place = (number, end - len(right.lstrip()), end)
        elif current and body.strip():
            current.append(body.strip())
        offset += len(line)
    if current:
        yield _parameter(name, current, file, place)


def _parameter(name: str, parts: list[str], file: str, place: tuple[int, int, int]) -> Parameter:
    value = " ".join(part for part in parts if part).strip()
    return Parameter(name, value, file, *place, continued=len(parts) > 1)


def included(parameter: Parameter) -> list[str]:
    """Names of the files of an ``includeFile``."""
    return parameter.value.replace('"', " ").split()


def gathered(main: str, read: Callable[[str], str | None]) -> Parameters:
    """What a file and all that it includes say together.

    ``read`` gives the text of a file, or None. Every file is read once.
    """
    found: Parameters = {}
    waiting, seen = [main], {main}
    while waiting:
        file = waiting.pop()
        text = read(file)
        if text is None:
            continue
        inner: list[str] = []
        for parameter in parse(file, text):
            if parameter.key == "includefile":
                inner += included(parameter)
            else:
                found.setdefault(parameter.key, parameter)
        for name in reversed(inner):
            if name not in seen and len(seen) < _MOST_FILES:
                seen.add(name)
                waiting.append(name)
    return found


def resolved(found: Mapping[str, Parameter], parameter: Parameter) -> str:
    """The value, or that of the parameter whose bare name it is."""
    for _ in range(_REFERENCES):
        other = found.get(parameter.value.lower())
        if other is None:
            break
        parameter = other
    return parameter.value


def text_of(found: Mapping[str, Parameter], parameter: Parameter) -> str | None:
    """A text without its quotes, or None when it is computed."""
    value = resolved(found, parameter)
    match = re.fullmatch(r'"([^"]*)"', value)
    return match[1].strip() if match else None


def truth(found: Mapping[str, Parameter], parameter: Parameter | None) -> bool | None:
    """What a boolean is; False without one, None when it is computed."""
    if parameter is None:
        return False
    value = (text_of(found, parameter) or resolved(found, parameter)).lower()
    return True if value in _TRUE else False if value in _FALSE else None


def integer(found: Mapping[str, Parameter], parameter: Parameter) -> int | None:
    """A whole number of at least 1, or None when it is computed or none."""
    return whole(resolved(found, parameter))


def sources(found: Mapping[str, Parameter], setting: str) -> dict[str, Parameter]:
    """A setting of every source that has it, by name."""
    pattern = re.compile(rf"so/(.+)/{setting.lower()}")
    return {
        parameter.name.split("/", 1)[1].rsplit("/", 1)[0]: parameter
        for key, parameter in found.items()
        if pattern.fullmatch(key)
    }


def histories(found: Mapping[str, Parameter]) -> int:
    """Histories of all sources over all times; 0 when that is computed or unknown."""
    random = truth(found, found.get(RANDOM_TIMES))
    if random is None:
        return 0
    setting = IN_RANDOM_JOB if random else IN_RUN
    counts = [integer(found, known) or 0 for known in _emitting(found, setting)]
    times = integer(found, found[TIMES]) if TIMES in found and not random else 1
    if random and not counts and sources(found, "Type"):
        return _DEFAULT_RANDOM_JOB
    return sum(counts) * (times or 0) if all(counts) else 0


def _emitting(found: Mapping[str, Parameter], setting: str) -> list[Parameter]:
    """Numbers of histories but those of sources that are switched off."""
    return [known for known in sources(found, setting).values() if resolved(found, known) != "0"]
