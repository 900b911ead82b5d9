"""Random tests repeat with the seed that a run prints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def draws(folder: Path, *arguments: str) -> tuple[str, str]:
    """Return what two tests draw, and the seed in the header of their run."""
    test = folder / "test_draws.py"
    test.write_text(
        "def test_one(dice):\n    print('drew', dice.random())\n"
        "def test_two(dice):\n    print('drew', dice.random())\n"
    )
    options = f"-s -n 0 -p no:cacheprovider -p conftest -c {ROOT}/pyproject.toml"
    places = [f"--rootdir={folder}", f"--confcutdir={folder}", str(test)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options.split(), *places, *arguments],
        cwd=ROOT / "tests",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    drawn = [line.rpartition("drew ")[2] for line in lines if "drew " in line]
    (seed,) = [line.removeprefix("chaos seed: ") for line in lines if line.startswith("chaos seed")]
    return " ".join(drawn), seed


def test_a_seed_repeats_every_test_alone_too(tmp_path: Path) -> None:
    drawn, seed = draws(tmp_path)
    assert len(set(drawn.split())) == 2
    assert draws(tmp_path, "--chaos-seed", seed) == (drawn, seed)
    alone, _ = draws(tmp_path, "--chaos-seed", seed, "-k", "test_two")
    assert alone == drawn.split()[1]
    assert draws(tmp_path, "--chaos-seed", f"1{seed}")[0] != drawn
