"""TOPAS parameter files: syntax, include chains, and the number of histories that results.

After the TOPAS user guide, "Syntax", "Hierarchical Control" and "Time mode": names and types are
case-insensitive, file names are not. A comment extends from ``#`` to the end of the line. A value
ends at an empty line or one with ``=``. A file's values override those of the files it includes.

Histories: NumberOfHistoriesInRun for each of NumberOfSequentialTimes runs or, with random times,
NumberOfHistoriesInRandomJob in total, one per run.
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
    """A parameter: its value on one line, without comments, with quotes.

    ``start`` and ``end`` delimit the value in the text of the file, if it is on one line.
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
    """Return the parameters of one file, including ``includeFile``, in order."""
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
    """Return the file names in an ``includeFile``."""
    return parameter.value.replace('"', " ").split()


def gathered(main: str, read: Callable[[str], str | None]) -> Parameters:
    """Return the parameters of a file and all that it includes.

    ``read`` returns the text of a file, or None. Every file is read once.
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
    """Return the value, or that of the parameter whose bare name it is."""
    for _ in range(_REFERENCES):
        other = found.get(parameter.value.lower())
        if other is None:
            break
        parameter = other
    return parameter.value


def text_of(found: Mapping[str, Parameter], parameter: Parameter) -> str | None:
    """Return a text without its quotes, or None when it is computed."""
    value = resolved(found, parameter)
    match = re.fullmatch(r'"([^"]*)"', value)
    return match[1].strip() if match else None


def truth(found: Mapping[str, Parameter], parameter: Parameter | None) -> bool | None:
    """Return a boolean; False when absent, None when it is computed."""
    if parameter is None:
        return False
    value = (text_of(found, parameter) or resolved(found, parameter)).lower()
    return True if value in _TRUE else False if value in _FALSE else None


def integer(found: Mapping[str, Parameter], parameter: Parameter) -> int | None:
    """Return a whole number of at least 1, or None when it is computed or invalid."""
    return whole(resolved(found, parameter))


def sources(found: Mapping[str, Parameter], setting: str) -> dict[str, Parameter]:
    """Return a setting of every source that has it, by source name."""
    pattern = re.compile(rf"so/(.+)/{setting.lower()}")
    return {
        parameter.name.split("/", 1)[1].rsplit("/", 1)[0]: parameter
        for key, parameter in found.items()
        if pattern.fullmatch(key)
    }


def scorers(found: Mapping[str, Parameter]) -> dict[str, dict[str, Parameter]]:
    """Return the settings of every scorer, by its name and theirs in lower case."""
    grouped: dict[str, dict[str, Parameter]] = {}
    for key, parameter in found.items():
        parts = key.split("/")
        if len(parts) == 3 and parts[0] == "sc":
            grouped.setdefault(parts[1], {})[parts[2]] = parameter
    return grouped


def histories(found: Mapping[str, Parameter]) -> int:
    """Return the histories of all sources over all times; 0 when computed or unknown."""
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
    """Return numbers of histories without those of inactive sources."""
    return [known for known in sources(found, setting).values() if resolved(found, known) != "0"]
