"""User-supplied TOPAS parameters: primaries of the source, seed, threads, result files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kerma_engines.engine import InputSet, Output, OutputQuantity
from kerma_engines.errors import InvalidInput, Problem
from kerma_engines.files import check_files, plain_output, whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PARAMETER = re.compile(
    r"^(?P<head>[ \t]*(?:[a-z]{1,2}:)?(?P<name>[^\s=#:]+)[ \t]*=[ \t]*)"
    r"(?P<value>\"[^\"\n]*\"|[^#\n]*?)(?P<tail>[ \t]*(?:#[^\n]*)?)$",
    re.MULTILINE,
)
_HISTORIES = re.compile(r"so/([^/]+)/numberofhistoriesinrun", re.IGNORECASE)
_OUTPUT = re.compile(r"sc/([^/]+)/outputfile", re.IGNORECASE)


def accept(files: Mapping[str, str]) -> InputSet:
    """Checks the files, finds the main one, primaries and outputs. Raises InvalidInput."""
    check_files(files)
    problems: list[Problem] = []
    main = _main(files, problems)
    sources = [(name, match) for name, match in _all(files) if _HISTORIES.fullmatch(match["name"])]
    source, primaries = _primaries(sources, problems)
    outputs = tuple(_outputs(files, problems))
    if problems:
        raise InvalidInput(tuple(problems))
    return InputSet("topas", dict(files), primaries, outputs, {"main": main, "source": source})


def with_task(text: str, source: str, primaries: int, seed: int, threads: int) -> str:
    """The main file with primaries, seed and threads set; everything else stays as it is.

    What the main file says goes before what files say that it includes, so only it is changed.
    """
    wanted = {
        f"So/{source}/NumberOfHistoriesInRun": primaries,
        "Ts/Seed": seed,
        "Ts/NumberOfThreads": threads,
    }
    left = dict(wanted)

    def replace(match: re.Match[str]) -> str:
        key = next((key for key in wanted if key.lower() == match["name"].lower()), None)
        if key is None:
            return match[0]
        left.pop(key, None)
        return f"{match['head']}{wanted[key]}{match['tail']}"

    changed = _PARAMETER.sub(replace, text)
    added = "".join(f"i:{key} = {value}\n" for key, value in left.items())
    return changed + ("\n" if added and not changed.endswith("\n") else "") + added


def _is_parameters(name: str) -> bool:
    return name.lower().endswith((".txt", ".tps", ".topas"))


def _all(files: Mapping[str, str]) -> Iterator[tuple[str, re.Match[str]]]:
    for name, text in files.items():
        if _is_parameters(name):
            for match in _PARAMETER.finditer(text):
                yield name, match


def _main(files: Mapping[str, str], problems: list[Problem]) -> str:
    """The parameter file that no other includes."""
    candidates = [name for name in files if _is_parameters(name)]
    included: set[str] = set()
    for name, match in _all(files):
        if match["name"].lower() != "includefile":
            continue
        for word in match["value"].replace('"', " ").split():
            if not plain_output(word):
                problems.append(Problem(name, f"includes what is no plain file: {word[:64]!r}"))
            included.add(word)
    mains = [name for name in candidates if name not in included]
    if len(mains) != 1:
        reason = f"TOPAS starts from one parameter file (*.txt), here are {len(mains)}"
        problems.append(Problem("files", reason))
        return ""
    return mains[0]


def _primaries(
    sources: list[tuple[str, re.Match[str]]], problems: list[Problem]
) -> tuple[str, int]:
    """The one source that emits primaries, and how many."""
    counts: dict[str, int] = {}
    for name, match in sources:
        value = match["value"].strip()
        primaries = whole(value)
        if primaries is not None:
            counts[match["name"].split("/")[1]] = primaries
        elif value != "0":
            line = match.string.count("\n", 0, match.start()) + 1
            reason = f"NumberOfHistoriesInRun is no plain number: {value[:32]!r}"
            problems.append(Problem(f"{name}:{line}", reason))
    if len(counts) != 1 and not problems:
        reason = (
            f"one source with NumberOfHistoriesInRun can be split into tasks, not {len(counts)}"
        )
        problems.append(Problem("files", reason))
    return next(iter(counts.items()), ("", 0))


def _outputs(files: Mapping[str, str], problems: list[Problem]) -> Iterator[Output]:
    scorers: dict[str, dict[str, str]] = {}
    for name, match in _all(files):
        parts = match["name"].split("/")
        if len(parts) != 3 or parts[0].lower() != "sc":
            continue
        value = match["value"].strip().strip('"')
        scorers.setdefault(parts[1], {})[parts[2].lower()] = value
        if _OUTPUT.fullmatch(match["name"]) and not plain_output(value):
            reason = f"writes to what is no plain file name: {value[:64]!r}"
            problems.append(Problem(name, reason))
    for scorer, values in scorers.items():
        if "quantity" in values and values.get("outputtype", "csv").lower() == "csv":
            file = values.get("outputfile", scorer)
            quantity = OutputQuantity(0, scorer, values["quantity"])
            yield Output(scorer, scorer, f"{file}.csv", (quantity,))
