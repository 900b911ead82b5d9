"""Count the bins of SHIELD-HIT12A's outputs and old-format detectors.

An output has the bins of its geometry for every quantity, times those of the quantity's
differential axes. Particles of an MCPL output are no bins: the worker bounds their file.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from kerma_engines.adapter.bins import BinCount, bounded_count
from kerma_engines.shieldhit.detect import blocks, old_detectors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kerma_engines.adapter.port import InputSet
    from kerma_engines.shieldhit.detect import Block, OldDetector

_AXES = {"x", "y", "z", "r", "p", "phi", "t", "theta"}
_DIFFERENTIAL = re.compile(r"diff\d+")


def scored_bins(inputs: InputSet) -> int:
    """Return the bins of all outputs. Raises InvalidInput where they can't be counted."""
    counter = BinCount()
    count(inputs.files["detect.dat"], counter)
    return counter.closed()


def count(detect: str, counter: BinCount) -> None:
    """Count the bins that ``detect.dat`` scores."""
    found = list(blocks(detect))
    geometries = dict(_geometry(block, counter) for block in found if block.kind == "geometry")
    for block in found:
        if block.kind == "output":
            _count_output(block, geometries, counter)
    for detector in old_detectors(detect):
        _count_old(detector, counter)


def _geometry(block: Block, counter: BinCount) -> tuple[str, list[int]]:
    """Return the name of a geometry in lower case, and its bins along each axis."""
    name, factors, zones = "", [], 0
    for number, words in block.below:
        key = words[0].lower()
        if key == "name":
            name = " ".join(words[1:]).lower()
        elif key in _AXES:
            factors.append(_bins(number, words, 3, counter))
        elif key == "zone":
            zones += _zones(number, words, counter)
    return name, [*factors, zones or 1]


def _zones(number: int, words: list[str], counter: BinCount) -> int:
    """Return the number of zones from a first to a last one."""
    if len(words) == 2:
        return 1
    first, last = _bins(number, words, 1, counter), _bins(number, words, 2, counter)
    return abs(last - first) + 1


def _count_output(block: Block, geometries: Mapping[str, list[int]], counter: BinCount) -> None:
    factors: list[int] = []
    quantities: list[tuple[int, str, list[int]]] = []
    for number, words in block.below:
        key = words[0].lower()
        if key == "geo":
            name = " ".join(words[1:])
            if name.lower() not in geometries:
                counter.refuse(f"detect.dat:{number}", f"there is no Geometry {name[:64]!r}")
            factors = geometries.get(name.lower(), [])
        elif key == "quantity":
            quantities.append((number, " ".join(words), []))
        elif _DIFFERENTIAL.fullmatch(key):
            if quantities:
                quantities[-1][2].append(_bins(number, words, 3, counter))
            else:
                counter.refuse(f"detect.dat:{number}", f"{words[0]} precedes its Quantity")
    for number, label, axes in quantities:
        counter.add(f"detect.dat:{number}", label, [*factors, *axes])


def _count_old(detector: OldDetector, counter: BinCount) -> None:
    place = f"detect.dat:{detector.line}"
    if detector.shape.startswith("D"):
        reason = "differential detectors are taken in blocks Geometry and Output only"
        counter.refuse(place, f"{detector.shape}: {reason}")
        return
    factors = [_whole(place, detector.shape, text, counter) for text in detector.bins if text]
    if detector.shape == "ZONE":  # numbers of a first and a last zone
        factors = [abs(factors[1] - factors[0]) + 1] if len(factors) > 1 else []
    counter.add(place, detector.shape, factors)


def _bins(number: int, words: list[str], at: int, counter: BinCount) -> int:
    """Return the number of bins that is word ``at`` of a line."""
    text = words[at] if at < len(words) else ""
    return _whole(f"detect.dat:{number}", words[0], text, counter)


def _whole(place: str, label: str, text: str, counter: BinCount) -> int:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        return counter.refuse(place, f"{label[:32]} has no number of bins: {text[:32]!r}")
    return bounded_count(value)
