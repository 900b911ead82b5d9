"""Files of tasks: merged in one order for any input order, none twice, and named in errors."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from kerma_engines.catalogue.reading import read_file
from kerma_engines.catalogue.task_files import alike, in_task_order, merge_files, read_files
from kerma_engines.errors import EngineError, ReadError
from kerma_engines.results.estimators import Estimator, MergeClass
from kerma_engines.results.merge import MergeState
from standins.write_shieldhit import Mesh, Scored, bdo2019, write

CLASSES = {
    0: MergeClass.FIRST,
    1: MergeClass.SUM,
    2: MergeClass.PER_PRIMARY,
    3: MergeClass.MEAN,
    4: MergeClass.CONCAT,
}
"""Merged by the normalisation stored in BDO files."""


def task(folder: Path, number: int, normalisation: int = 2, bins: int = 40) -> Path:
    rng = np.random.default_rng(number)
    scored = Scored(5, normalisation, "MeV/g", rng.random(bins))
    data = bdo2019(Mesh(bins=(1, 1, bins)), [scored], 100 + number % 7)
    folder.mkdir(exist_ok=True)
    return write(folder / f"dose_{number:04}.bdo", data)


def bits(merged: tuple[Estimator, ...]) -> list[bytes]:
    pages = [page for estimator in merged for page in estimator.pages]
    return [
        array.tobytes()
        for page in pages
        for array in (page.values, page.errors)
        if array is not None
    ]


@pytest.mark.parametrize("normalisation", CLASSES)
def test_the_order_of_arguments_leaves_no_trace(tmp_path: Path, normalisation: int) -> None:
    files = [task(tmp_path, number, normalisation) for number in range(1, 13)]
    (page,) = read_file(files[0]).pages
    assert page.merge is CLASSES[normalisation]
    expected = bits(merge_files(files))
    backwards = MergeState.fold(MergeState.of((read_file(path),)) for path in files[::-1])
    assert bits(backwards.result()) != expected, "the order would matter"
    shuffled = random.Random(6)
    for _ in range(5):
        assert bits(merge_files(shuffled.sample(files, len(files)))) == expected


def test_numbers_in_paths_count_as_numbers(tmp_path: Path) -> None:
    names = ["2/a.bdo", "10/a.bdo", "a2.bdo", "a10.bdo", "a010.bdo", "b.bdo"]
    wanted = [
        Path(tmp_path, name)
        for name in ("2/a.bdo", "10/a.bdo", "a2.bdo", "a010.bdo", "a10.bdo", "b.bdo")
    ]
    for seed in range(20):
        given = [Path(tmp_path, name) for name in random.Random(seed).sample(names, len(names))]
        assert in_task_order(given) == wanted


def test_a_file_given_twice_is_refused(tmp_path: Path) -> None:
    file = task(tmp_path / "a", 1)
    (tmp_path / "link.bdo").symlink_to(file)
    for other in (file, tmp_path / "a" / ".." / "a" / file.name, tmp_path / "link.bdo"):
        with pytest.raises(EngineError, match="given twice"):
            merge_files([file, task(tmp_path / "a", 2), other])


def test_equal_contents_are_found(tmp_path: Path) -> None:
    one, two = task(tmp_path / "a", 1), task(tmp_path / "a", 2)
    same = task(tmp_path / "b", 1)
    large = [
        write(tmp_path / name, bytes(2_000_000) + end) for name, end in (("x", b"1"), ("y", b"2"))
    ]
    assert alike([one, two, same, *large, tmp_path / "none"]) == [(one, same)]


def test_files_that_do_not_fit_are_named_by_path(tmp_path: Path) -> None:
    good, bad = task(tmp_path / "a", 1), task(tmp_path / "b", 1, bins=39)
    with pytest.raises(EngineError, match=r"/b/dose_0001\.bdo: dose, page 0: shapes differ"):
        merge_files([good, bad])
    (tmp_path / "c").mkdir()
    damaged = write(tmp_path / "c" / good.name, good.read_bytes()[:900])
    with pytest.raises(ReadError, match=r"/c/dose_0001\.bdo: byte"):
        merge_files([good, damaged])


def test_names_never_reach_a_terminal_as_commands(tmp_path: Path) -> None:
    for name in ("a\x1b[2J\r\n.bdo", "b\u202e.bdo", "c\udcff.bdo"):
        with pytest.raises(ReadError) as caught:
            read_file(write(tmp_path / name, b"x"))
        assert str(caught.value).isprintable()
        assert str(caught.value).startswith(f"{tmp_path}/{name[0]}\\")


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    one, two, other = task(tmp_path / "a", 1), task(tmp_path / "b", 1), task(tmp_path / "b", 2)
    found = [estimator.file for estimator in read_files([one, two, other])]
    assert found == [str(one), str(two), "dose_0002.bdo"]
