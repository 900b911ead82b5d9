"""Stands in for TOPAS: ``topas <parameters>.txt``; results go to the working directory."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path

import numpy as np

from standins.behaviour import Behaviour
from standins.write_topas import Scorer, csv

_LINE = re.compile(r"^\s*(?:\w+:)?([\w/.-]+)\s*=\s*(.*?)\s*(?:#.*)?$")
_AXES = {
    "TsBox": (("X", "cm"), ("Y", "cm"), ("Z", "cm")),
    "TsCylinder": (("R", "cm"), ("Phi", "deg"), ("Z", "cm")),
    "TsSphere": (("R", "cm"), ("Phi", "deg"), ("Theta", "deg")),
}

_QUANTITIES = {
    "DoseToMedium": ("Gy", 1e-9),
    "EnergyDeposit": ("MeV", 1.0),
    "Fluence": ("/mm2", 1e-3),
    "EnergyFluence": ("MeV/mm2", 0.1),
    "ProtonLET": ("MeV/mm/(g/cm3)", 5.0),
}
"""Units, and the mean score per history."""

_QUOTIENTS = {"ProtonLET"}


def main(arguments: list[str]) -> int:
    """Run and return the exit status."""
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
    """Return values by path, with quotes and trailing units."""
    return {
        found[1]: found[2].strip('"') for line in text.splitlines() if (found := _LINE.match(line))
    }


def _scorers(
    behaviour: Behaviour, parameters: dict[str, str], histories: int
) -> list[tuple[str, Scorer]]:
    random = behaviour.random()
    names = [k.split("/")[1] for k in parameters if re.fullmatch(r"Sc/[^/]+/Quantity", k)]
    scorers = []
    for name in names:
        component, quantity = parameters[f"Sc/{name}/Component"], parameters[f"Sc/{name}/Quantity"]
        if quantity not in _QUANTITIES or f"Ge/{component}/Type" not in parameters:
            sys.exit(f"TOPAS is exiting due to a serious error in scoring setup of {name}")
        kind = parameters[f"Ge/{component}/Type"]
        widths = tuple(
            (axis, _width(parameters, name, component, axis), unit) for axis, unit in _AXES[kind]
        )
        shape = tuple(_bins(parameters, name, component, axis) for axis, _ in _AXES[kind])
        if math.prod(shape) == 1:
            widths, shape = (), ()  # TOPAS does not number a single bin
        binned = _energies(parameters, name)
        if binned is not None:
            shape += (int(parameters[f"Sc/{name}/EBins"]),)
        unit, size = _QUANTITIES[quantity]
        mean = size * random.gamma(float(histories), 1.0 / histories, shape)
        known = {
            "Sum": mean if quantity in _QUOTIENTS else mean * histories,
            "Mean": mean,
            "Standard_Deviation": np.full(shape, size),
        }
        report = re.findall(r"\w+", parameters.get(f"Sc/{name}/Report", "Sum"))
        statistics = {what: known[what] for what in report if what in known}
        file = parameters.get(f"Sc/{name}/OutputFile", name)
        scorers.append((file, Scorer(name, statistics, quantity, unit, widths, binned)))
    return scorers


def _energies(parameters: dict[str, str], scorer: str) -> tuple[str, str, float, float, int] | None:
    """Return the axis of kinetic energies at the beginning of steps, if the scorer has one."""
    if f"Sc/{scorer}/EBins" not in parameters:
        return None
    low, high = (float(parameters[f"Sc/{scorer}/EBin{end}"].split()[0]) for end in ("Min", "Max"))
    return ("pre-step energy", "MeV", low, high, 1)


def _bins(parameters: dict[str, str], scorer: str, component: str, axis: str) -> int:
    own = parameters.get(f"Sc/{scorer}/{axis}Bins")
    return int(own or parameters.get(f"Ge/{component}/{axis}Bins", "1"))


def _width(parameters: dict[str, str], scorer: str, component: str, axis: str) -> float:
    """Return the width of a bin, cm or degrees; 0.5 for components without sizes."""

    def size(name: str) -> float:
        return float(parameters.get(f"Ge/{component}/{name}", "0").split()[0])

    bins = _bins(parameters, scorer, component, axis)
    if axis in ("Phi", "Theta"):
        return (360.0 if axis == "Phi" else 180.0) / bins
    whole = size("RMax") - size("RMin") if axis == "R" else 2.0 * (size(f"HL{axis}") or size("HL"))
    return whole / bins if whole else 0.5
