"""User-supplied TOPAS parameters: primaries of the source, seed, threads, result files.

Results are described in the TOPAS user guide, "Output Specification", "Volume Scorers" and "Time
mode". Only CSV files with one value per bin and one file per scorer are read back.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kerma_engines.adapter.bins import BinCount
from kerma_engines.adapter.files import checked_files, plain_output
from kerma_engines.adapter.port import InputSet, Output, OutputQuantity
from kerma_engines.errors import InvalidInput, Problem
from kerma_engines.topas.bins import count
from kerma_engines.topas.parameters import (
    IN_RANDOM_JOB,
    IN_RUN,
    RANDOM_TIMES,
    TIMES,
    gathered,
    included,
    integer,
    parse,
    resolved,
    scorers,
    sources,
    text_of,
    truth,
)
from kerma_engines.topas.paths import path_problems, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kerma_engines.topas.parameters import Parameter, Parameters

_REPEATED = "so that the number of histories is not known before"
_ENDLESS = {
    "ts/extrasequencefiles": f"runs further sequences, {_REPEATED}",
    "ts/restoreresultsfromfile": "runs nothing",
}
_NESTED = re.compile(r"sc/[^/]*/.*/quantity")
_ENDLESS_SCORERS = "repeatsequenceuntil"
_UNREAD_FORMS = {
    "sparsify": "leaves out bins, which is not read",
    "singleindex": "numbers bins in one, which is not read",
    "splitbytimefeature": "writes a file for each time, which are not read",
    "outputafterrun": "writes a file for each run, which are not read",
}


def accept(files: Mapping[str, str]) -> InputSet:
    """Check the files and find the main one, primaries and outputs. Raises InvalidInput."""
    files = checked_files(files)
    problems: list[Problem] = []
    main = _main(files, problems)
    if not main:
        raise InvalidInput(tuple(problems))
    found = gathered(main, files.get)
    random = _random_times(found, problems)
    source, primaries = _primaries(found, random, problems)
    _check_edits(files[main], main, problems)
    problems += path_problems(found, files)
    outputs = tuple(_outputs(found, problems))
    count(found, BinCount(problems))
    if not outputs and not problems:
        problems.append(Problem("files", "no scorer that is active writes results"))
    if problems:
        raise InvalidInput(tuple(problems))
    options = {"main": main, "source": source, "random": random}
    return InputSet("topas", dict(files), primaries, outputs, options)


def with_task(
    text: str, source: str, primaries: int, seed: int, threads: int, *, random: bool = False
) -> str:
    """Return the main file with primaries, seed and threads set and everything else unchanged.

    Values in the main file override those of included files, so only it is changed. ``random``:
    histories have random times, and one number of histories covers all of them.
    """
    wanted = {
        f"So/{source}/{IN_RANDOM_JOB if random else IN_RUN}": primaries,
        "Ts/Seed": seed,
        "Ts/NumberOfThreads": threads,
    }
    left = {name.lower(): (name, value) for name, value in wanted.items()}
    parts, at = [], 0
    for parameter in parse("", text):
        if parameter.key in left:
            parts += [text[at : parameter.start], str(left.pop(parameter.key)[1])]
            at = parameter.end
    changed = "".join([*parts, text[at:]])
    added = "".join(f"i:{name} = {value}\n" for name, value in left.values())
    return changed + ("\n" if added and not changed.endswith("\n") else "") + added


def _is_parameters(name: str) -> bool:
    return name.lower().endswith((".txt", ".tps", ".topas"))


def _main(files: Mapping[str, str], problems: list[Problem]) -> str:
    """Return the parameter file that no other one includes or reads."""
    candidates = [name for name in files if _is_parameters(name)]
    inner: set[str] = set()
    for name in candidates:
        for parameter in parse(name, files[name]):
            if parameter.key != "includefile":
                inner |= {word for word in quoted(parameter) if word in files and word != name}
                continue
            for word in included(parameter):
                inner.add(word)
                if not plain_output(word):
                    reason = f"includes something other than a plain file: {word[:64]!r}"
                    problems.append(Problem(parameter.place, reason))
                elif word not in files:
                    reason = f"includes {word[:64]!r}, which is not here"
                    problems.append(Problem(parameter.place, reason))
    mains = [name for name in candidates if name not in inner]
    if len(mains) != 1:
        reason = f"TOPAS starts from one parameter file (*.txt), here are {len(mains)}"
        problems.append(Problem("files", reason))
    return mains[0] if not problems else ""


def _random_times(found: Parameters, problems: list[Problem]) -> bool:
    """Return whether times are random; note when several runs become one."""
    random = truth(found, found.get(RANDOM_TIMES))
    if random is None:
        reason = "says in a computed way whether times are random; write it out"
        problems.append(Problem(found[RANDOM_TIMES].place, reason))
    times = found.get(TIMES)
    if times is not None and not random and integer(found, times) != 1:
        reason = (
            f"{times.name} = {resolved(found, times)[:32]} repeats all histories at each of the "
            "times, which can't be split into tasks; use Tf/RandomizeTimeDistribution and "
            f"So/.../{IN_RANDOM_JOB}, or a job for each time"
        )
        problems.append(Problem(times.place, reason))
    for key, reason in _ENDLESS.items():
        if key in found and truth(found, found[key]) is not False:
            problems.append(Problem(found[key].place, f"{found[key].name} {reason}"))
    for known in sources(found, "ProbabilityOfUsingAGivenRandomTime").values() if random else ():
        reason = f"{known.name} leaves out histories, {_REPEATED}"
        problems.append(Problem(known.place, reason))
    return bool(random)


def _primaries(found: Parameters, random: bool, problems: list[Problem]) -> tuple[str, int]:
    """Return the one source that emits primaries, and their number."""
    setting = IN_RANDOM_JOB if random else IN_RUN
    counts: dict[str, int] = {}
    for source, parameter in sources(found, setting).items():
        primaries = integer(found, parameter)
        value = resolved(found, parameter)
        if primaries is not None:
            counts[source] = primaries
        elif value != "0":
            reason = f"{setting} is no plain number: {value[:32]!r}; write the number itself"
            problems.append(Problem(parameter.place, reason))
    if len(counts) != 1 and not problems:
        reason = f"one source with {setting} can be split into tasks, not {len(counts)}"
        problems.append(Problem("files", reason))
    return next(iter(counts.items()), ("", 0))


def _check_edits(text: str, main: str, problems: list[Problem]) -> None:
    """Check that the numbers of a task can be set in the main file."""
    settings = (IN_RUN.lower(), IN_RANDOM_JOB.lower(), "ts/seed", "ts/numberofthreads")
    seen: set[str] = set()
    for parameter in parse(main, text):
        if not parameter.key.endswith(settings):
            continue
        if parameter.key in seen:
            problems.append(Problem(parameter.place, f"{parameter.name} is there twice"))
        if parameter.continued:
            reason = f"the value of {parameter.name} must stand in one line"
            problems.append(Problem(parameter.place, reason))
        seen.add(parameter.key)


def _outputs(found: Parameters, problems: list[Problem]) -> Iterator[Output]:
    files: dict[str, str] = {}
    for key, parameter in found.items():
        if _NESTED.fullmatch(key):
            reason = (
                f"{parameter.name} has a scorer with '/' in its name, whose results are not read"
            )
            problems.append(Problem(parameter.place, reason))
    for settings in scorers(found).values():
        # inactive scorers write files too
        written = settings.get("outputfile")
        if written is not None and not _plain_file(found, written):
            reason = f"writes to something other than a plain file name: {written.value[:64]!r}"
            problems.append(Problem(written.place, reason))
        output = _output(found, settings, problems) if "quantity" in settings else None
        if output is None:
            continue
        place = settings["quantity"].place
        if output.file in files:
            reason = f"writes to {output.file}, as {files[output.file]} does"
            problems.append(Problem(place, reason))
        files[output.file] = output.name
        yield output


def _output(
    found: Parameters, settings: Mapping[str, Parameter], problems: list[Problem]
) -> Output | None:
    """Return a scorer's output, None if it is switched off or has a problem, which is recorded."""
    quantity = settings["quantity"]
    scorer = quantity.name.split("/")[1]
    active = truth(found, settings["active"]) if "active" in settings else True
    if active is False:
        return None
    before = len(problems)
    if active is None:
        reason = f"{settings['active'].name} is no plain True or False; write it out"
        problems.append(Problem(settings["active"].place, reason))
    problems += _unread(found, settings)
    file = _plain_file(found, settings["outputfile"]) if "outputfile" in settings else scorer
    if "outputfile" not in settings and not plain_output(scorer):
        reason = f"writes to something other than a plain file name: {scorer[:64]!r}"
        problems.append(Problem(quantity.place, reason))
    if len(problems) > before or not file:
        return None
    keyword = text_of(found, quantity) or quantity.value
    return Output(scorer, scorer, f"{file}.csv", (OutputQuantity(0, scorer, keyword),))


def _plain_file(found: Parameters, parameter: Parameter) -> str:
    """Return the name of a file in the work folder, or "" if it is elsewhere."""
    file = text_of(found, parameter) or ""
    return file if plain_output(file) else ""


def _unread(found: Parameters, settings: Mapping[str, Parameter]) -> Iterator[Problem]:
    """Return which of a scorer's output forms is not read back."""
    quantity = settings["quantity"]
    if (text_of(found, quantity) or "").lower() == "phasespace":
        yield Problem(quantity.place, "phase space can't be read back; score another quantity")
        return
    kind = settings.get("outputtype")
    if kind is not None and (text_of(found, kind) or "").lower() != "csv":
        reason = f'{kind.name} = {kind.value[:32]} is not read back; write "csv"'
        yield Problem(kind.place, reason)
    report = settings.get("report")
    if report is not None:
        words = set(resolved(found, report).lower().replace('"', " ").split())
        if not words & {"sum", "mean"}:
            reason = f'{report.name} has neither "Mean" nor "Sum", one of which is read'
            yield Problem(report.place, reason)
        if words & {"cumulativevolumehistogram", "differentialvolumehistogram"}:
            reason = f"{report.name} asks for a volume histogram, which is not read; leave it out"
            yield Problem(report.place, reason)
    for setting, parameter in settings.items():
        unread = _UNREAD_FORMS.get(setting)
        if unread is not None and truth(found, parameter) is not False:
            yield Problem(parameter.place, f"{parameter.name} {unread}; leave it out")
        if setting.startswith(_ENDLESS_SCORERS):
            yield Problem(parameter.place, f"{parameter.name} repeats runs, {_REPEATED}")
