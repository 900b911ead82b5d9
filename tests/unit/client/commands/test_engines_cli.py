"""``kerma engines read`` and ``merge``: JSON, tables, pictures, and helpful errors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner

from kerma_client.commands.engines import app
from standins.write_fluka import Binning, usrbin, usrtrack
from standins.write_shieldhit import Mesh, Scored, bdo2019, write
from standins.write_topas import Scorer, csv

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def dose(folder: Path, task: int, values: list[float], primaries: int) -> Path:
    page = Scored(5, 2, "MeV/g", np.array(values) * primaries)
    mesh = Mesh(bins=(1, 1, len(values)))
    return write(folder / f"dose_{task:04}.bdo", bdo2019(mesh, [page], primaries))


def parsed(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_json_has_what_a_program_needs(tmp_path: Path) -> None:
    (estimator,) = parsed(run("read", dose(tmp_path, 1, [1.0, float("nan"), 3.0], 4), "--json"))
    assert estimator == {
        "name": "dose",
        "file": "dose_0001.bdo",
        "primaries": 4,
        "pages": [
            {
                "name": "DOSE",
                "unit": "MeV/g/prim",
                "class": "per_primary",
                "filter": "",
                "note": "",
                "shape": [3],
                "axes": [
                    {
                        "name": "Position (Z)",
                        "unit": "cm",
                        "edges": pytest.approx([0, 20 / 3, 40 / 3, 20]),
                        "binning": "linear",
                    }
                ],
                "values": [1.0, None, 3.0],
                "errors": None,
                "degrees_of_freedom": None,
            }
        ],
    }


def test_merge_weights_by_primaries_and_groups_by_output(tmp_path: Path) -> None:
    files = [dose(tmp_path, 1, [1.0], 30), dose(tmp_path, 2, [5.0], 10)]
    other = write(tmp_path / "x_fort.21", usrbin([Binning(np.ones(1), ((0, 1, 1),) * 3)], 7))
    merged, single = parsed(run("merge", *files, other, "--json"))
    assert (merged["name"], merged["primaries"]) == ("dose", 40)
    assert merged["pages"][0]["values"] == [2.0]
    # weighted squares 30 * 1 + 10 * 9 over one degree of freedom and 40 primaries
    assert merged["pages"][0]["errors"] == [pytest.approx((120 / 40) ** 0.5)]
    assert (single["name"], single["primaries"]) == ("21", 7)


def test_merged_bytes_do_not_depend_on_the_order_of_arguments(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    files = [dose(tmp_path, task, list(rng.random(9)), 10 + task) for task in range(1, 12)]
    expected = run("merge", *files, "--json").stdout
    assert run("merge", *files[::-1], "--json").stdout == expected
    assert run("merge", *files[5:], *files[:5], "--json").stdout == expected


def test_one_task_twice_is_noticed(tmp_path: Path) -> None:
    one, two = dose(tmp_path, 1, [1.0], 30), dose(tmp_path, 2, [1.0], 30)
    (tmp_path / "sub").mkdir()
    refused(run("merge", one, two, tmp_path / "sub" / ".." / one.name), "is given twice")
    result = run("merge", one, two, "--json")
    assert result.exit_code == 0
    assert f"{one} and {two} have the same contents" in result.stderr
    assert run("merge", one, dose(tmp_path, 3, [2.0], 30)).stderr == ""


def test_tables_show_largest_value_and_error(tmp_path: Path) -> None:
    files = [dose(tmp_path, 1, [1.0, 2.0], 10), dose(tmp_path, 2, [1.0, 4.0], 10)]
    result = run("merge", *files)
    assert result.exit_code == 0
    for part in ("primaries: 20", "tasks merged: 2", "MeV/g/prim", "per_primary", "3 ± 1"):
        assert part in result.stdout


def test_pictures_of_curves_maps_and_spectra(tmp_path: Path) -> None:
    mesh = Mesh(bins=(1, 3, 4))
    files = [
        dose(tmp_path, 1, [1.0, 2.0], 10),
        write(tmp_path / "map.bdo", bdo2019(mesh, [Scored(5, 3, "Gy", np.arange(12.0))], 10)),
        write(tmp_path / "s_fort.40", usrtrack(np.ones(5), (0.01, 1.0, 5), 7)),
    ]
    target = tmp_path / "out.png"
    assert run("read", *files, "--plot", target).exit_code == 0
    assert target.read_bytes().startswith(b"\x89PNG")


def refused(result: Result, reason: str) -> None:
    assert result.exit_code == 1
    assert result.stdout == ""
    assert reason in result.stderr
    assert "Traceback" not in result.stderr


def test_errors_are_sentences(tmp_path: Path) -> None:
    good = dose(tmp_path, 1, [1.0, 2.0], 10)
    refused(run("read", tmp_path / "none.bdo"), "none.bdo: open: No such file")
    refused(run("read", write(tmp_path / "a.txt", b"hello")), "not a result of SHIELD-HIT12A")
    refused(run("merge", good, dose(tmp_path, 2, [1.0], 10)), "dose, page 0: shapes differ")
    refused(run("read", good, "--plot", tmp_path / "out.pdf"), "name it *.png")
    refused(
        run("read", dose(tmp_path, 3, [1.0], 10), "--plot", tmp_path / "out.png"),
        "nothing to draw",
    )
    scorer = tmp_path / "t.csv"
    scorer.write_text(csv(Scorer("T", {"Mean": np.ones((1, 1, 2))}), "lost.txt"))
    refused(run("merge", scorer), "keep the parameter file of TOPAS")
