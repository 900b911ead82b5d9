"""Stands in for FLUKA's ``rfluka [-N<n>] -M<n> <input>.inp``.

Like the script it runs the engine as a child in a directory ``fluka_<pid>``, where the log grows,
and moves the results beside the input when the child has ended.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from standins.behaviour import Behaviour
from standins.write_fluka import Binning, Track, usrbin, usrtracks

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

_CODES = {
    "ENERGY": 208, "DOSE": 228, "SI1MEVNE": 236, "BEAMPART": 210,
    "ALL-PART": 201, "ALL-CHAR": 202, "ALL-NEUT": 203, "ALL-NEGA": 204, "ALL-POSI": 205,
    "PROTON": 1, "APROTON": 2, "ELECTRON": 3, "POSITRON": 4, "PHOTON": 7, "NEUTRON": 8,
    "MUON+": 10, "MUON-": 11, "PION+": 13, "PION-": 14, "KAON+": 15, "KAON-": 16, "PIZERO": 23,
    "KAONZERO": 24, "AKAONZER": 25, "HEAVYION": -2, "DEUTERON": -3, "TRITON": -4,
    "3-HELIUM": -5, "4-HELIUM": -6,
}  # fmt: skip
_NEUTRONS = {8, 201, 203}
_GROUPS = (0.02, 0.001, 1e-6, 1e-14)  # GeV
_PRIMARIES_SHARE = 0.25
"""The share of primaries in every score."""


def main(arguments: list[str]) -> int:
    """Run and return the exit status."""
    parser = argparse.ArgumentParser("rfluka")
    parser.add_argument("-N", type=int, default=0)
    parser.add_argument("-M", type=int, default=5)
    parser.add_argument("-e")
    parser.add_argument("input", type=Path)
    options = parser.parse_args(arguments)
    try:
        cards = _cards(options.input.read_text())
        primaries, seed = _primaries(cards), _seed(cards)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"rfluka: {error}\n")
        return 1
    work = Path.cwd() / f"fluka_{os.getpid()}"
    work.mkdir()
    cycle = f"{options.input.stem}{options.N + 1:03}"
    print(f"Running fluka in {work}", flush=True)
    print(
        "======================== Running FLUKA for cycle # 1 ========================", flush=True
    )
    child = os.fork()
    if not child:
        _engine(Behaviour.of(seed), primaries, cards, work, cycle)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    for path in sorted(work.iterdir()):
        if path.name.startswith("fort."):
            print(f'     Moving "{path.name}" to "{Path.cwd() / f"{cycle}_{path.name}"}"')
            path.rename(Path.cwd() / f"{cycle}_{path.name}")
        elif path.name == f"{cycle}.out":
            path.rename(Path.cwd() / path.name)
    shutil.rmtree(work)
    print("End of FLUKA run", flush=True)
    return 1 if status else 0


def _engine(
    behaviour: Behaviour, primaries: int, cards: list[list[str]], work: Path, cycle: str
) -> None:
    with (work / f"{cycle}.out").open("w") as log:
        start = [
            "1NUMBER OF BEAM  NUMBER OF BEAM   NUMBER OF BEAM",
            " NEXT SEEDS:         0         0",
        ]
        behaviour.say(start, log)
        for done, left in behaviour.progress(primaries):
            numbers = f"{done:>10}{primaries - done:>11}{primaries - done:>11}"
            per_primary = (behaviour.seconds - left) / max(done, 1)
            behaviour.say([f"{numbers}{per_primary:>16.7E}{1e30:>16.7E}{done:>10}"], log)
        behaviour.say([" All cases handled by Feeder"], log)
        random = behaviour.random()
        files = [(work / f"fort.{unit}", data) for unit, data in _results(cards, primaries, random)]
        behaviour.write(files)
        banner = f" * ======{'End of FLUKA standin-0.0 run':^60}====== *"
        behaviour.say([banner], log, end=True)


def _results(
    cards: list[list[str]], primaries: int, random: np.random.Generator
) -> Iterator[tuple[int, bytes]]:
    """Return the files by unit."""
    regions = _regions(cards)
    binnings: dict[int, list[Binning]] = {}
    for first, second in _pairs(cards, "USRBIN"):
        kind = int(float(first[0] or 0))
        axes = _sets(regions, first[3], second[0]) if kind in (2, 12) else _mesh(first, second)
        bins = axes[0][2] * axes[1][2] * axes[2][2]
        values = random.gamma(float(primaries), 1.0 / primaries, bins) * _share(cards, first)
        found = Binning(values, axes, kind, _code(first[1]), first[6][:10])
        binnings.setdefault(_unit(first), []).append(found)
    tracks: dict[int, list[Track]] = {}
    for first, second in _pairs(cards, "USRTRACK"):
        regions.index(first[3])
        code, energy = _code(first[1]), (float(second[1]), float(second[0]), int(float(first[5])))
        edges = _GROUPS if code in _NEUTRONS else ()
        bins = energy[2] + max(len(edges) - 1, 0)
        values = random.gamma(float(primaries), 1.0 / primaries, bins) * _share(cards, first)
        kind, volume = int(float(first[0])), float(first[4])
        found_track = Track(values, energy, kind, code, edges, first[6][:10], volume)
        tracks.setdefault(_unit(first), []).append(found_track)
    both = binnings.keys() & tracks.keys()
    if both:
        raise ValueError(f"units {sorted(both)} are of two kinds of estimators")
    yield from ((unit, usrbin(found, primaries)) for unit, found in binnings.items())
    yield from ((unit, usrtracks(found, primaries)) for unit, found in tracks.items())


def _mesh(first: list[str], second: list[str]) -> list[tuple[float, float, int]]:
    axes = [
        (float(low or 0), float(high or 0), max(int(float(n or 1)), 1))
        for low, high, n in zip(second[0:3], first[3:6], second[3:6], strict=True)
    ]
    return [(low, high if high > low else low + 1.0, n) for low, high, n in axes]


def _sets(regions: list[str], last: str, first: str) -> list[tuple[float, float, int]]:
    """Return one set of regions, by their numbers from 1."""
    low, high = regions.index(first) + 1, regions.index(last) + 1
    bins = high - low + 1
    # the file writer divides the difference by the bins; the step is one region
    return [(float(low), float(low + bins), bins), (0.0, 1.0, 1), (0.0, 1.0, 1)]


def _share(cards: list[list[str]], first: list[str]) -> float:
    """Return the share of the score that primaries contribute, for detectors
    that count only those.
    """
    filters = [card[2] for card in cards if card[0] == "AUXSCORE" and card[4] == first[6]]
    return _PRIMARIES_SHARE if "BEAMPART" in (*filters, first[1]) else 1.0


def _regions(cards: list[list[str]]) -> list[str]:
    """Return the names of regions in order: between the two END of the geometry."""
    names = [card[0] for card in cards]
    if "GEOBEGIN" not in names:
        return []
    start = names.index("END", names.index("GEOBEGIN"))
    between = names[start + 1 : names.index("END", start + 1)]
    return [name.split()[0] for name in between if name and name[0] not in "+-|"]


def _unit(first: list[str]) -> int:
    return abs(int(float(first[2])))


def _cards(text: str) -> list[list[str]]:
    """Yield keyword, six WHATs and SDUM of each card in fixed format."""
    return [
        [
            line[:8].strip(),
            *(line[at : at + 10].strip() for at in range(10, 70, 10)),
            line[70:].strip(),
        ]
        for line in text.splitlines()
        if line.strip() and not line.startswith("*")
    ]


def _primaries(cards: list[list[str]]) -> int:
    for card in cards:
        if card[0] == "START":
            return int(float(card[1]))
    raise ValueError("the input has no START card")


def _seed(cards: list[list[str]]) -> int:
    return next((int(float(card[2] or 0)) for card in cards if card[0] == "RANDOMIZ"), 0)


def _pairs(cards: list[list[str]], kind: str) -> list[tuple[list[str], list[str]]]:
    """Yield WHATs and SDUM of both cards of each detector."""
    found = [card[1:] for card in cards if card[0] == kind]
    return list(zip(found[0::2], found[1::2], strict=True))


def _code(text: str) -> int:
    return _CODES[text] if text in _CODES else int(float(text or 0))
