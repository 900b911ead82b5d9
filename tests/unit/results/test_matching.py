"""Which output a delivered estimator belongs to."""

from __future__ import annotations

import itertools

import pytest

from kerma_engines.adapter.port import Output
from kerma_results.adapters.deliveries.grammar import Refused
from kerma_results.adapters.deliveries.matching import matched
from kerma_results.adapters.deliveries.reading import EstimatorRead


def found(name: str, **metadata: str) -> EstimatorRead:
    return EstimatorRead(name, dict(metadata), [], "")


def placed(names: list[str], outputs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return (output, delivered name) in the order of outputs."""
    made = [Output(name, name, file) for name, file in outputs]
    return [(name, one.name) for name, one in matched([found(n) for n in names], made)]


SHIELDHIT = [("dose", "dose.bdo"), ("dose2", "dose2.bdo"), ("Z profile", "z_profile.bdo")]
FLUKA = [("zebra", "21"), ("aardvark", "22")]


@pytest.mark.parametrize(
    ("names", "outputs"),
    [
        (["dose_", "dose2_", "z_profile_"], SHIELDHIT),
        (["dose", "dose2", "Z profile"], SHIELDHIT),
        (["dose.bdo", "dose2.bdo", "z_profile.bdo"], SHIELDHIT),
        (["dose_0001", "dose2_0001.bdo", "z_profile_0013"], SHIELDHIT),
        (["21", "22"], FLUKA),
        (["fl_sim_fort.21", "fl_sim001_fort.22"], FLUKA),
        (["fort.21", "aardvark"], FLUKA),
        (["dose", "dose_"], [("dose", "dose.bdo"), ("dose_", "dose_.bdo")]),
        (["run_0001", "run_0002"], [("run_0001", "run_0001.bdo"), ("run_0002", "run_0002.bdo")]),
        (["Depth"], [("depth dose", "Depth.csv")]),
    ],
)
def test_position_means_nothing(names: list[str], outputs: list[tuple[str, str]]) -> None:
    expected = [(name, delivered) for (name, _), delivered in zip(outputs, names, strict=True)]
    for order in itertools.permutations(names):
        assert placed(list(order), outputs) == expected


def test_metadata_may_name_the_file() -> None:
    outputs = [Output("d", "dose", "dose.bdo")]
    assert matched([found("x", file_corename="dose_")], outputs)[0][0] == "dose"


def test_without_an_output_map_names_are_those_of_the_files() -> None:
    names = [name for name, _ in matched([found("b_"), found("a_"), found("a")], [])]
    assert names == ["b", "a_", "a"]


@pytest.mark.parametrize(
    ("names", "outputs", "path", "named"),
    [
        (["dose_", "dose2_", "let_"], SHIELDHIT, "estimators.2.name", "'let_'"),
        (["dose_", "dose", "dose2_"], SHIELDHIT, "estimators.1.name", "'dose'"),
        (["dose_", "z_profile_"], SHIELDHIT, "estimators", "'dose2'"),
        ([], SHIELDHIT, "estimators", "'dose'"),
        (["23", "21"], FLUKA, "estimators.0.name", "'23'"),
        (["a", "a"], [], "estimators.1.name", "'a'"),
        ([], [], "estimators", "none"),
    ],
)
def test_what_does_not_match_is_named(
    names: list[str], outputs: list[tuple[str, str]], path: str, named: str
) -> None:
    with pytest.raises(Refused) as refused:
        placed(names, outputs)
    assert refused.value.path == path
    assert named in refused.value.reason
