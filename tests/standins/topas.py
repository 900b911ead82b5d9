"""Stands in for TOPAS: ``topas <parameters>.txt``; results go to the working directory."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np

from standins.behaviour import Behaviour
from standins.write_topas import Scorer, csv

_LINE = re.compile(r"^\s*(?:\w+:)?([\w/]+)\s*=\s*(.*?)\s*(?:#.*)?$")
_AXES = {
    "TsBox": (("X", "cm"), ("Y", "cm"), ("Z", "cm")),
    "TsCylinder": (("R", "cm"), ("Phi", "deg"), ("Z", "cm")),
    "TsSphere": (("R", "cm"), ("Phi", "deg"), ("Theta", "deg")),
}


def main(arguments: list[str]) -> int:
    """Run; the exit status."""
    if len(arguments) != 1:
        sys.stderr.write("Usage: topas <parameter file>\n")
        return 1
    path = Path(arguments[0])
    try:
        parameters = _parameters(path.read_text())
    except OSError as error:
        sys.stderr.write(f"TOPAS is exiting due to a serious error: {error}\n")
        return 1
    runs = [int(v) for k, v in parameters.items() if k.endswith("/NumberOfHistoriesInRun")]
    if not runs:
        sys.stderr.write("TOPAS is exiting due to a serious error: no histories\n")
        return 1
    _run(Behaviour.of(int(parameters.get("Ts/Seed", "1"))), parameters, sum(runs), path)
    return 0


def _run(behaviour: Behaviour, parameters: dict[str, str], histories: int, path: Path) -> None:
    out = sys.stdout
    behaviour.say(
        ["Welcome to the stand-in, not TOPAS", f"Loading parameters starting from: {path}"], out
    )
    interval = max(int(parameters.get("Ts/ShowHistoryCountAtInterval", "1")), 0)
    threads = max(int(parameters.get("Ts/NumberOfThreads", "1")), 1)
    shown = 0
    for done, _ in behaviour.progress(histories):
        if not interval:
            continue
        due = list(range(shown, done, interval))
        shown += interval * len(due)
        behaviour.say([_history(number, threads) for number in due[::-1]], out)  # out of order
    scorers = _scorers(behaviour, parameters, histories)
    files = [(Path(f"{file}.csv"), csv(scorer, path.name).encode()) for file, scorer in scorers]
    written = behaviour.write(files)
    behaviour.say(["", "TOPAS run sequence complete."], out, end=True)
    behaviour.say([f"Particle source Beam: Total number of histories: {histories}"], out, end=True)
    behaviour.say([f"Results have been written to file: {file}" for file in written], out)
    behaviour.say(["Elapsed times:"], out, end=True)


def _history(number: int, threads: int) -> str:
    worker = f"G4WT{number % threads} > " if threads > 1 else ""
    return f"{worker}Begin processing for Run: 0, History: {number}"


def _parameters(text: str) -> dict[str, str]:
    """Values by path, quotes and trailing units kept."""
    return {
        found[1]: found[2].strip('"') for line in text.splitlines() if (found := _LINE.match(line))
    }


def _scorers(
    behaviour: Behaviour, parameters: dict[str, str], histories: int
) -> list[tuple[str, Scorer]]:
    random = behaviour.random()
    names = [k.split("/")[1] for k in parameters if re.fullmatch(r"Sc/\w+/Quantity", k)]
    scorers = []
    for name in names:
        component = parameters.get(f"Sc/{name}/Component", "")
        kind = parameters.get(f"Ge/{component}/Type", "TsBox")
        axes = _AXES.get(kind, _AXES["TsBox"])
        shape = tuple(_bins(parameters, name, component, axis) for axis, _ in axes)
        mean = random.gamma(float(histories), 1.0 / histories, shape)
        statistics = {"Mean": mean, "Standard_Deviation": np.ones(shape)}
        report = re.findall(r"\w+", parameters.get(f"Sc/{name}/Report", ""))
        if "Sum" in report:
            statistics = {
                "Mean": mean,
                "Sum": mean * histories,
                "Standard_Deviation": np.ones(shape),
            }
        file = parameters.get(f"Sc/{name}/OutputFile", name)
        quantity = parameters[f"Sc/{name}/Quantity"]
        widths = tuple((axis, 0.5, unit) for axis, unit in axes)
        scorers.append((file, Scorer(name, statistics, quantity, "Gy", widths)))
    return scorers


def _bins(parameters: dict[str, str], scorer: str, component: str, axis: str) -> int:
    own = parameters.get(f"Sc/{scorer}/{axis}Bins")
    return int(own or parameters.get(f"Ge/{component}/{axis}Bins", "1"))
