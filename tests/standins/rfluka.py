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

from standins.behaviour import Behaviour
from standins.write_fluka import Binning, usrbin

_CODES = {"ENERGY": 208, "DOSE": 228, "ALL-PART": 201, "PROTON": 1, "NEUTRON": 8}


def main(arguments: list[str]) -> int:
    """Run; the exit status."""
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
        detectors: dict[int, list[Binning]] = {}
        for first, second in _binnings(cards):
            axes = [
                (float(low or 0), float(high or 0), max(int(float(n or 1)), 1))
                for low, high, n in zip(second[0:3], first[3:6], second[3:6], strict=True)
            ]
            axes = [(low, high if high > low else low + 1.0, n) for low, high, n in axes]
            kind = int(float(first[0] or 0))
            bins = axes[0][2] * axes[1][2] * axes[2][2]
            values = random.gamma(float(primaries), 1.0 / primaries, bins)
            unit = abs(int(float(first[2])))
            detectors.setdefault(unit, []).append(
                Binning(values, axes, kind, _code(first[1]), first[6][:10])
            )
        files = [
            (work / f"fort.{unit}", usrbin(found, primaries)) for unit, found in detectors.items()
        ]
        behaviour.write(files)
        banner = f" * ======{'End of FLUKA standin-0.0 run':^60}====== *"
        behaviour.say([banner], log, end=True)


def _cards(text: str) -> list[list[str]]:
    """Keyword, six WHATs and SDUM of each card in fixed format."""
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


def _binnings(cards: list[list[str]]) -> list[tuple[list[str], list[str]]]:
    """WHATs and SDUM of both cards of each binning."""
    found = [card[1:] for card in cards if card[0] == "USRBIN"]
    return list(zip(found[0::2], found[1::2], strict=True))


def _code(text: str) -> int:
    return _CODES[text] if text in _CODES else int(float(text or 0))
