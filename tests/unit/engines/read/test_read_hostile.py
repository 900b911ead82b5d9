"""Mutated genuine files: read or refused, never a crash, a hang, or disproportionate memory."""

from __future__ import annotations

import random
import re
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kerma_engines.catalogue.reading import read_file
from kerma_engines.errors import ReadError
from standins.write_fluka import Binning as Detector
from standins.write_fluka import resnuclei, usrbdx, usrbin, usrtrack
from standins.write_shieldhit import Mesh, Scored, bdo2016
from standins.write_topas import Scorer, csv

if TYPE_CHECKING:
    from collections.abc import Iterator

REALDATA = Path(__file__).parents[5] / "shared" / "realdata"
LARGEST = 8_000
"""Larger files would be mutated in the same way, only slower."""

BASE = 200_000
"""Bytes that reading takes for any file: buffers, an exception, the interpreter's own."""


def seeds() -> list[tuple[str, bytes]]:
    """Return genuine files, and written ones of the types that are missing."""
    ones = np.ones(24)
    box = ((-1.0, 1.0, 2), (-0.1, 0.1, 3), (0.0, 20.0, 4))
    scorer = Scorer("A", {"Sum": ones.reshape(2, 3, 4)}, unit="")
    rows = "".join(f"0,{k // 8},{k % 8},{k}.5,{k * k},3\n" for k in range(24))
    heading = "# iX, iY, iZ, total(value) [MeV], total(val^2), entry\n"
    scorers = "".join(f"# primitive scorer name: {name}\n{heading}{rows}" for name in "ab")
    own = [
        ("dump.csv", f"# mesh name: m\n{scorers}".encode()),
        ("own.csv", csv(scorer, "none.txt").encode()),
        ("own.bdo", bdo2016(Mesh(), Scored(5, 2, "", np.ones(10)), 5)),
        ("sum_fort.21", usrbin([Detector(ones, box, relative=ones)], 5)),
        ("track_fort.22", usrtrack(ones[:6], (0.01, 1, 3), 5, group_edges=(1, 0.1, 0.01, 1e-3))),
        ("bdx_fort.23", usrbdx(ones[:12], (0.01, 1, 4), (0.1, 6, 3), 5, relative=ones[:12])),
        ("nuclei_fort.24", resnuclei(ones[:12], 3, 4, -1, 5, evolution=True, isomers=True)),
    ]
    real = [
        (path.name, path.read_bytes())
        for path in sorted(REALDATA.rglob("*"))
        if (path.suffix in (".bdo", ".csv") or "_fort." in path.name)
        and path.stat().st_size <= LARGEST
    ]
    return own + real


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Apply one to four changes: bits, bytes, special numbers, cuts, repeats, swaps."""
    mutated = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(mutated)) if mutated else 0
        match rng.randrange(7):
            case 0 if mutated:
                mutated[at] ^= 1 << rng.randrange(8)
            case 1 if mutated:
                mutated[at] = rng.choice(b"\x00\xff\x7f\x80 ,#-9e\n")
            case 2:
                number = rng.choice((0, 1, -1, 2**31 - 1, -(2**31), 2**40, 2**63 - 1, 10**7))
                size = rng.choice((4, 8))
                mutated[at : at + size] = (number % 2 ** (8 * size)).to_bytes(size, "little")
            case 3:
                del mutated[at:]
            case 4:
                del mutated[at : at + rng.randint(1, 40)]
            case 5:
                mutated[at:at] = mutated[at : at + rng.randint(1, 400)] * rng.choice((1, 1, 20))
            case _:
                mutated[at : at + 8] = rng.randbytes(8)
    return bytes(mutated)


def mutations(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    rng = random.Random(seed)
    originals = seeds()
    for _ in range(count):
        name, data = rng.choice(originals)
        yield name, mutate(data, rng)


def try_read(path: Path) -> bool:
    """Return whether the file could be read; a refusal must say where. Other
    exceptions propagate.
    """
    refused: ReadError | None = None
    try:
        estimator = read_file(path)
    except ReadError as error:
        refused = error
    if refused is not None:
        assert refused.where
        assert refused.reason
        return False
    for page in estimator.pages:
        assert page.values.size >= 1 or page.merge.value == "concat"
        for axis in page.axes:
            assert np.all(np.diff(axis.edges) > 0)
    return True


def read_bounded(path: Path, data: bytes) -> bool:
    """Run ``try_read`` within ten times the file's size in memory; pytest's timeout ends hangs."""
    path.write_bytes(data)
    tracemalloc.start()
    done = try_read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 10 * len(data) + BASE, f"{peak} bytes for {len(data)}"
    return done


def check(count: int, seed: int, folder: Path) -> None:
    outcomes = {True: 0, False: 0}
    for name, data in mutations(count, seed):
        outcomes[read_bounded(folder / name, data)] += 1
    assert min(outcomes.values()) > count / 50, outcomes


def test_mutated_files(tmp_path: Path) -> None:
    check(1_000, 1, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_mutated_files(tmp_path: Path) -> None:
    check(100_000, 2, tmp_path)


LARGE = 400_000
"""Size of inflated files: large enough that memory by announced numbers exceeds BASE."""


def inflate(data: bytes, rng: random.Random) -> bytes:
    """Repeat a piece of a file many times, with numbers as large as the file, then pad it.

    Finds readers that allocate memory by what is announced instead of what is there.
    """
    number = rng.choice((LARGE // 8, LARGE // 3, LARGE, 50))
    lines = data.split(b"\n") if data.startswith(b"#") else []
    if lines:
        at = rng.randrange(min(len(lines), 12))
        piece = re.sub(rb"\b\d+ bins?", b"%d bins" % number, lines[at]) + b"\n"
        before, after = b"\n".join(lines[:at]) + b"\n", b"\n".join(lines[at + 1 :])
    else:
        at, length = 4 * rng.randrange(len(data) // 4), 4 * rng.randint(1, 60)
        changed = bytearray(data[at : at + length])
        place = 4 * rng.randrange(max(len(changed) // 4, 1))
        changed[place : place + 4] = number.to_bytes(4, "little")
        piece = bytes(changed)
        before, after = data[:at], data[at + length :]
    repeated = piece * min(rng.choice((1, 3, 900)), LARGE // max(len(piece), 1))
    fill = after[-rng.randint(1, 40) :] or b"0"
    whole = before + repeated + after
    return whole + fill * (max(LARGE - len(whole), 0) // len(fill))


def check_inflated(count: int, seed: int, folder: Path) -> None:
    rng = random.Random(seed)
    originals = seeds()
    for name, data in originals:
        (folder / name).write_bytes(data)
        try_read(folder / name)  # what Python loads and compiles once does not count
    kinds = [[s for s in originals if s[1].startswith(b"#") is text] for text in (True, False)]
    for case in range(count):
        name, data = rng.choice(kinds[case % 2] or originals)
        read_bounded(folder / name, inflate(data, rng))


def test_inflated_files(tmp_path: Path) -> None:
    check_inflated(60, 3, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_inflated_files(tmp_path: Path) -> None:
    check_inflated(3_000, 4, tmp_path)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("axes.csv", b"# TOPAS\n" + b"# X in 250000 bins of 1 cm\n" * 900 + b"0\n" * 250_000),
        (
            "cube.csv",
            b"# TOPAS\n"
            + b"".join(b"# %s in 250000 bins of 1 cm\n" % a for a in (b"X", b"Y", b"Z"))
            + b"# A : Mean\n"
            + b"0,0,0,0\n" * 250_000,
        ),
        (
            "spectra.csv",
            b"# TOPAS\n# A : Mean\n"
            + b"# Binned by time in 160000 bins of 1 ns from 0 ns to 160000 ns\n" * 2
            + b"0, " * 160_001
            + b"0\n",
        ),
        (
            "spectrum.csv",
            b"# TOPAS\n# A : Mean\n"
            + b"# Binned by time in 160000 bins of 1 ns from 0 ns to 160000 ns\n"
            + b"0, " * 160_001
            + b"0\n",
        ),
        ("spaces.csv", b"# TOPAS Version: 3.9\n# a " + b" " * 3000 + b"\n" * 3),
        ("hashes.csv", b"# TOPAS\n" + b"#\n" * 500_000),
        ("commas.csv", b"# TOPAS\n# A : Mean\n" + b"," * 1_000_000),
        ("zeros.csv", b"# TOPAS\n# A : Mean\n" + b"0\n" * 100_000),
        ("wide.csv", b"# TOPAS\n# A : Mean\n" + b"0," * 500_000 + b"0\n"),
        ("lines.csv", b"# TOPAS\n# A : Mean\n" + b"\n" * 1_000_000),
        ("zeros.bdo", b"xSH12AII" + bytes(2_000_000)),
        ("pages.bdo", None),
    ],
)
def test_files_made_to_waste(tmp_path: Path, name: str, data: bytes | None) -> None:
    path = tmp_path / name
    path.write_bytes(b"# TOPAS\n# A : Mean\n1\n")
    try_read(path)  # what Python loads and compiles once does not count
    read_bounded(path, many_pages() if data is None else data)


def many_pages() -> bytes:
    """Return as many pages as the bytes allow: three tokens of one number each."""
    from standins.write_shieldhit import bdo2019, token

    one = bdo2019(Mesh(bins=(1, 1, 1)), [Scored(5, 1, "", np.ones(1))], 1)
    page = token(0xDD30, 5) + token(0xDD32, 1) + token(0xDDBB, np.ones(1))
    return one + page * 5_000
