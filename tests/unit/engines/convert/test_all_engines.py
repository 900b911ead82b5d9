"""Projects that all engines refuse, annotate or accept in the same way."""

from __future__ import annotations

from typing import Any

import pytest

from engine_inputs import figure, project, zone
from kerma_engines.catalogue.registry import ENGINE_NAMES, engine
from kerma_engines.errors import InvalidInput, Problem

ENGINES = sorted(ENGINE_NAMES)
CARBON = {"id": 25, "a": 12, "z": 6}


def build(beam: dict[str, Any] | None = None) -> dict[str, Any]:
    figures = [figure("f", "box", width=4, height=4, depth=4)]
    built = project(figures, [zone("z", 276, "f")], figure("w", "box", width=9, height=9, depth=9))
    return {**built, "beam": {**built["beam"], **(beam or {})}}


def problems(name: str, mapping: dict[str, Any]) -> tuple[Problem, ...]:
    try:
        engine(name).convert(mapping)
    except InvalidInput as invalid:
        return invalid.problems
    return ()


@pytest.mark.parametrize("name", ENGINES)
class TestCutOffs:
    def test_a_beam_beyond_its_cut_off_is_refused(self, name: str) -> None:
        beam = {"particle": CARBON, "energy": 2400, "energySpread": 12, "energyHighCutoff": 1000}
        (found,) = problems(name, build({**beam, "energyLowCutoff": 0, "energyUnit": "MeV"}))
        assert found.path == "beam.energyHighCutoff"
        assert "1000 MeV is below the whole beam, 2400 MeV" in found.reason

    def test_a_beam_below_its_cut_off_is_refused(self, name: str) -> None:
        (found,) = problems(name, build({"energy": 150, "energySpread": 0, "energyLowCutoff": 151}))
        assert found.path == "beam.energyLowCutoff"
        assert "151 MeV is above the whole beam, 150 MeV" in found.reason

    def test_part_of_a_spectrum_is_cut_by_engines_that_can(self, name: str) -> None:
        found = problems(name, build({"energy": 150, "energySpread": 3, "energyHighCutoff": 152}))
        if name in ("shieldhit", "topas"):
            assert not found
        else:
            assert [problem.path for problem in found] == ["beam.energyHighCutoff"]

    @pytest.mark.parametrize(
        "cuts",
        [
            {},
            {"energyLowCutoff": 0, "energyHighCutoff": 0},
            {"energyLowCutoff": 0, "energyHighCutoff": 1000},
            {"energyLowCutoff": 10, "energyHighCutoff": None},
        ],
    )
    def test_cut_offs_far_away_do_not_matter(self, name: str, cuts: dict[str, Any]) -> None:
        assert not problems(name, build({"energy": 150, "energySpread": 3, **cuts}))

    def test_energies_beyond_the_engine_are_refused(self, name: str) -> None:
        (found,) = problems(name, build({"energy": 5e8}))
        assert found.path == "beam.energy"
        assert "transports up to" in found.reason


@pytest.mark.parametrize(
    ("cuts", "card"),
    [
        ({"energyLowCutoff": 145}, ["145", "1000000"]),
        ({"energyLowCutoff": 145, "energyHighCutoff": 0}, ["145", "1000000"]),
        ({"energyHighCutoff": 155}, ["0", "155"]),
        ({"energyLowCutoff": 145, "energyHighCutoff": 155}, ["145", "155"]),
    ],
)
def test_shieldhit_gets_a_cut_off_on_either_side(cuts: dict[str, Any], card: list[str]) -> None:
    beam = {"energy": 150, "energySpread": 3, **cuts}
    lines = engine("shieldhit").convert(build(beam)).files["beam.dat"].splitlines()
    (found,) = (line.split() for line in lines if line.startswith("TCUT0"))
    assert found[1:3] == card


def test_reasons_are_in_the_words_of_json() -> None:
    quantity = {"uuid": "q", "name": "Q", "keyword": "Dose", "modifiers": [{"diffType": "Heart"}]}
    spoilt = build({"sigma": 0, "position": None})
    spoilt["scoringManager"]["outputs"][0]["quantities"] = [quantity]
    found = {problem.path: problem.reason for problem in problems("geant4", spoilt)}
    assert found["beam.sigma"] == "must be an object"
    assert found["beam.position"] == "must be a list"
    # the list of quantities is not said to be empty because of its faulty item
    assert "scoringManager.outputs[0].quantities" not in found
    assert "scoringManager.outputs[0].quantities[0].modifiers[0].diffType" in found


SPOILT = [
    ("scoringManager", "filters", {"uuid": "u", "name": "F", "rules": []}),
    (
        "scoringManager",
        "filters",
        {"uuid": "u", "name": "F", "rules": [{"keyword": "Z", "operator": "", "value": 6}]},
    ),
    ("scoringManager", "filters", {"uuid": "u", "name": "F", "particle": {"id": 9999}}),
    ("scoringManager", "filters", {"name": "without an id"}),
    ("detectorManager", "detectors", {"uuid": "u", "geometryData": {"geometryType": "Heart"}}),
    ("detectorManager", "detectors", {"uuid": "u"}),
    ("figureManager", "figures", {"uuid": "u", "geometryData": {}}),
    ("materialManager", "materials", {"uuid": "u", "icru": "water"}),
    ("materialManager", "materials", 7),
]


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize(("manager", "items", "spoilt"), SPOILT)
def test_faults_in_unused_parts_do_not_matter(
    name: str, manager: str, items: str, spoilt: object
) -> None:
    built = build()
    good = engine(name).convert(built)
    block = built[manager]
    several = {**block, items: [spoilt, *block.get(items, [])]}
    inputs = engine(name).convert({**built, manager: several})
    noted = [note for note in inputs.options["notes"] if "is not used and is left out" in note]
    assert [note.startswith(f"{manager}.{items}[0]: ") for note in noted] == [True]
    kept = {file: text for file, text in inputs.files.items() if "left out" not in text}
    assert kept.items() <= good.files.items()


@pytest.mark.parametrize("name", ENGINES)
def test_faults_in_used_parts_are_named(name: str) -> None:
    built = build()
    built["scoringManager"]["filters"] = [{"uuid": "u", "name": "F", "rules": []}]
    built["scoringManager"]["outputs"][0]["quantities"][0]["filter"] = "u"
    (found,) = problems(name, built)
    assert str(found) == "scoringManager.filters[0]: needs rules or a particle"


@pytest.mark.parametrize("name", ENGINES)
def test_projects_that_score_nothing_are_refused(name: str) -> None:
    built = build()
    built["scoringManager"]["outputs"] = []
    (found,) = problems(name, built)
    assert str(found) == "scoringManager.outputs: nothing is scored"
