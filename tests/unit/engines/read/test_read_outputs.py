"""All results of a task: names and order come from the output map, whatever the files' order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from kerma_engines.adapter.port import InputSet, Output, OutputQuantity
from kerma_engines.errors import ReadError
from kerma_engines.fluka.read.read import read as read_fluka
from kerma_engines.shieldhit.read.read import read as read_shieldhit
from kerma_engines.topas.read.read import read as read_topas
from standins.write_fluka import Binning, usrbin
from standins.write_shieldhit import Mesh, Scored, bdo2019, write
from standins.write_topas import Scorer, csv

if TYPE_CHECKING:
    from pathlib import Path


def inputs(*outputs: Output) -> InputSet:
    return InputSet("any", {}, 10, outputs)


def quantities(*names: str) -> tuple[OutputQuantity, ...]:
    return tuple(OutputQuantity(number, name, "Dose") for number, name in enumerate(names))


def test_outputs_whose_names_begin_alike_are_not_mixed_up(tmp_path: Path) -> None:
    for value, name in ((1.0, "Output_1"), (2.0, "Output_10"), (3.0, "Dose2024")):
        data = bdo2019(Mesh(), [Scored(5, 1, "MeV/g", np.full(10, value))], 10)
        write(tmp_path / f"{name}_0003.bdo", data)
    outputs = (
        Output("c", "year", "Dose2024.bdo"),
        Output("b", "ten", "Output_10.bdo"),
        Output("a", "one", "Output_1.bdo"),
    )
    read = read_shieldhit(tmp_path, inputs(*outputs))
    assert [(e.name, e.metadata["output_id"], e.pages[0].values[0]) for e in read] == [
        ("year", "c", 3.0),
        ("ten", "b", 2.0),
        ("one", "a", 1.0),
    ]


def test_fluka_outputs_are_found_by_unit_and_pages_keep_their_quantity(tmp_path: Path) -> None:
    axes = ((0.0, 1.0, 1),) * 3
    for unit in (21, 22):
        detectors = [Binning(np.array([unit]), axes, score=8), Binning(np.ones(1), axes, score=228)]
        write(tmp_path / f"fl_sim001_fort.{unit}", usrbin(detectors, 10))
    asked = quantities("neutrons", "dose")
    outputs = (Output("x", "first", "22", asked), Output("y", "second", "fl_sim001_fort.21", asked))
    first, second = read_fluka(tmp_path, inputs(*outputs))
    assert (first.name, first.file, first.pages[0].values[0]) == ("first", "fl_sim001_fort.22", 22)
    assert (second.name, second.pages[0].values[0]) == ("second", 21)
    assert [page.metadata["quantity_name"] for page in first.pages] == ["neutrons", "dose"]


def test_topas_outputs_are_found_by_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(csv(Scorer("A", {"Mean": np.ones((1, 1, 2))}), "run.txt"))
    (only,) = read_topas(tmp_path, inputs(Output("i", "named", "a.csv")))
    assert (only.name, only.file) == ("named", "a.csv")


def test_without_output_map_all_files_are_read(tmp_path: Path) -> None:
    for name in ("b", "a"):
        data = bdo2019(Mesh(), [Scored(5, 1, "MeV/g", np.ones(10))], 10)
        write(tmp_path / f"{name}_0001.bdo", data)
    assert [estimator.name for estimator in read_shieldhit(tmp_path, inputs())] == ["a", "b"]


def test_missing_files_and_pages_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="wrote no result files"):
        read_shieldhit(tmp_path, inputs())
    with pytest.raises(ReadError, match=r"dose\.bdo: work folder: the result of 'dose' is missing"):
        read_shieldhit(tmp_path, inputs(Output("i", "dose", "dose.bdo")))
    write(tmp_path / "dose.bdo", bdo2019(Mesh(), [Scored(5, 1, "", np.ones(10))], 10))
    with pytest.raises(ReadError, match="pages: 1 instead of 2"):
        read_shieldhit(tmp_path, inputs(Output("i", "dose", "dose.bdo", quantities("a", "b"))))
