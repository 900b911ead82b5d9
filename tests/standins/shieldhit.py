"""Stands in for SHIELD-HIT12A: ``shieldhit -N <seed> [-n <primaries>] <directory>``."""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import numpy as np

from standins.behaviour import Behaviour, clock
from standins.write_shieldhit import Mesh, Scored, bdo2019

_TYPES = {
    "energy": (1, 2, "MeV"), "fluence": (2, 2, "/cm^2"), "dose": (5, 2, "MeV/g"),
    "dosegy": (39, 2, "Gy"), "dlet": (6, 3, "MeV/cm"), "tlet": (7, 3, "MeV/cm"),
    "avgenergy": (8, 3, "MeV/nucleon"), "material": (11, 0, ""), "zone": (18, 0, ""),
    "rho": (20, 0, "g/cm^3"), "count": (55, 1, ""), "mcpl": (63, 4, ""),
}  # fmt: skip
"""Detector type, normalisation class and unit by keyword; others are class 2 without unit."""


@dataclass
class Output:
    """An Output block of detect.dat."""

    file: str = "output.bdo"
    geometry: str = ""
    quantities: list[tuple[str, list[tuple[float, float, int, bool]]]] = field(default_factory=list)


def main(arguments: list[str]) -> int:
    """Run and return the exit status."""
    parser = argparse.ArgumentParser("shieldhit")
    parser.add_argument("-N", "--seedoffset", type=int, default=-1)
    parser.add_argument("-n", "--nstat", type=int)
    for flag in ("--silent", "-v", "-d"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--time", "-t")
    parser.add_argument("directory", type=Path)
    options = parser.parse_args(arguments)
    try:
        primaries = options.nstat or _primaries((options.directory / "beam.dat").read_text())
        meshes, outputs = _parse((options.directory / "detect.dat").read_text())
    except (OSError, ValueError) as error:
        sys.stderr.write(f"*** error: {error}\n")
        return 1
    suffix = f"_{options.seedoffset:04}" if options.seedoffset >= 0 else ""
    behaviour = Behaviour.of(max(options.seedoffset, 0))
    with (options.directory / f"shieldhit{suffix}.log").open("w") as log:
        files = [
            (options.directory / f"{Path(output.file).stem}{suffix}.bdo", output)
            for output in outputs
        ]
        _run(behaviour, primaries, options.seedoffset, files, meshes, [sys.stdout, log])
    return 0


def _run(
    behaviour: Behaviour,
    primaries: int,
    seed: int,
    files: list[tuple[Path, Output]],
    meshes: dict[str, Mesh],
    targets: list[TextIO],
) -> None:
    behaviour.say(
        [
            "  *** stand-in, not SHIELD-HIT12A ***",
            "  Version: v0.0.0-standin",
            f"  Requested number of primaries NSTAT      : {primaries}",
            "  Save every NSAVE number of particles     : -1",
            "  Random number seed RNDSEED               : 89736501",
            f"  Random number seed offset                : {seed}",
            "  Starting transport engine...",
            "     Primary particle no.           1",
        ],
        *targets,
    )
    for done, left in behaviour.progress(primaries):
        hours, minutes, seconds = clock(left)
        line = f"     Primary particle no.{done:>12}      ETR:{hours:>4} hours{minutes:>3} minutes{seconds:>3} seconds"
        behaviour.say([line], *targets)
    random = behaviour.random()
    data = [(path, _result(output, meshes, primaries, random)) for path, output in files]
    written = behaviour.write(data)
    hours, minutes, seconds = clock(behaviour.seconds)
    behaviour.say([f"  Saving estimator to '{path}'" for path in written], *targets)
    behaviour.say(
        [
            "  Transport completed.",
            f"   Run time: {hours:>3} hours {minutes:>2} minutes {seconds:>2} seconds",
        ],
        *targets,
        end=True,
    )


def _result(
    output: Output, meshes: dict[str, Mesh], primaries: int, random: np.random.Generator
) -> bytes:
    mesh = meshes.get(output.geometry, Mesh("ZONE", "all", (0, 0, 0), (1, 1, 1), (1, 1, 1)))
    pages = []
    for keyword, diff in output.quantities:
        kind, normalisation, unit = _TYPES.get(keyword.lower(), (42, 2, ""))
        bins = math.prod(mesh.bins) * math.prod(n for _, _, n, _ in diff)
        if kind == 63:
            values = random.random(8 * int(random.integers(0, 50)))
        elif normalisation == 0:
            values = np.ones(bins)
        elif normalisation == 3:
            values = random.normal(10.0, 1.0 / math.sqrt(primaries), bins)
        else:  # the sum of one exponential contribution per primary
            values = random.gamma(float(primaries), 1.0, bins)
        units = ";".join(["MeV"] * len(diff))
        pages.append(Scored(kind, normalisation, unit, values, diff, units, [27] * len(diff)))
    return bdo2019(mesh, pages, primaries)


def _primaries(beam: str) -> int:
    for line in beam.splitlines():
        words = line.split()
        if words and words[0].upper() == "NSTAT":
            return int(words[1])
    raise ValueError("beam.dat has no NSTAT")


def _parse(detect: str) -> tuple[dict[str, Mesh], list[Output]]:
    """Return geometries by name, and outputs."""
    meshes: dict[str, Mesh] = {}
    outputs: list[Output] = []
    mesh, block = Mesh(), ""
    for line in detect.splitlines():
        words = line.split("#")[0].split("!")[0].split()
        if not words:
            continue
        key = words[0].lower()
        if key in ("geometry", "output", "filter", "settings"):
            block = key
            if key == "output":
                outputs.append(Output())
            if key == "geometry":
                kind = {"mesh": "MSH", "cyl": "CYL"}.get(words[1].lower(), "ZONE")
                mesh = Mesh(kind, "", [0.0] * 3, [1.0] * 3, [1] * 3)
        elif block == "geometry":
            _geometry_line(meshes, mesh, key, words)
        elif block == "output":
            _output_line(outputs[-1], key, words)
    return meshes, outputs


def _geometry_line(meshes: dict[str, Mesh], mesh: Mesh, key: str, words: list[str]) -> None:
    if key == "name":
        mesh.name = words[1]
        meshes[words[1]] = mesh
        return
    place = {"x": 0, "y": 1, "z": 2, "r": 0, "t": 1, "zone": 0}.get(key)
    if place is None or len(words) < 4:
        return
    low, high, n = float(words[1]), float(words[2]), int(float(words[3]))
    for values, value in ((mesh.start, low), (mesh.stop, high), (mesh.bins, n)):
        values[place] = value  # type: ignore[index]


def _output_line(output: Output, key: str, words: list[str]) -> None:
    if key == "filename":
        output.file = words[1]
    elif key == "geo":
        output.geometry = words[1]
    elif key == "quantity":
        output.quantities.append((words[1], []))
    elif key in ("diff1", "diff2"):
        log = len(words) > 4 and words[4].lower() == "log"
        axis = (float(words[1]), float(words[2]), int(float(words[3])), log)
        output.quantities[-1][1].append(axis)
