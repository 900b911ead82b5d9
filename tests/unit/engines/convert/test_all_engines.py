"""Projects that all engines refuse, annotate or accept in the same way."""

from __future__ import annotations

from typing import Any

import pytest

from engine_inputs import figure, project, zone
from kerma_engines.catalogue.registry import ENGINE_NAMES, engine
from kerma_engines.errors import InvalidInput, Problem
from kerma_engines.project.project import parse_project

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

    def test_energies_below_the_engine_are_refused(self, name: str) -> None:
        found = problems(name, build({"energy": 1e-6, "energySpread": 0}))
        assert [problem.path for problem in found] == ["beam.energy"]
        assert "transports from" in found[0].reason
        assert not problems(name, build({"energy": 0.2, "energySpread": 0}))

    @pytest.mark.parametrize(("energy", "refused"), [(1e-8, False), (1e-12, True)])
    def test_neutrons_may_be_thermal(self, name: str, energy: float, refused: bool) -> None:
        found = problems(name, build({"particle": {"id": 1}, "energy": energy, "energySpread": 0}))
        assert ("beam.energy" in {problem.path for problem in found}) is refused

    def test_a_wide_spectrum_without_cut_offs_is_refused_for_its_spread(self, name: str) -> None:
        (found,) = problems(name, build({"energy": 10, "energySpread": 2}))
        assert found.path == "beam.energySpread"

    def test_the_cut_off_that_is_at_fault_is_named(self, name: str) -> None:
        cuts = {"energyLowCutoff": 10, "energyHighCutoff": 152}
        found = problems(name, build({"energy": 150, "energySpread": 3, **cuts}))
        assert {problem.path for problem in found} <= {"beam.energyHighCutoff"}


SPOTS = "0.05 0 0 0.5 1\n0.2 0 0 0.5 1\n"  # GeV per nucleon
TAKE_SPOTS = ("geant4", "shieldhit")


def spots(**cuts: float) -> dict[str, Any]:
    beam = {"particle": CARBON, "sourceType": "file", "sourceFile": {"name": "s", "value": SPOTS}}
    return build({**beam, "energy": 1, "energySpread": 0, "energyUnit": "MeV", **cuts})


@pytest.mark.parametrize("name", TAKE_SPOTS)
@pytest.mark.parametrize(
    ("cuts", "reason"),
    [
        ({"energyHighCutoff": 1000}, "1000 MeV is below the whole spot, 2400 MeV"),
        ({"energyHighCutoff": 100}, "100 MeV is below the whole spot, 600 MeV"),
        ({"energyLowCutoff": 700}, "700 MeV is above the whole spot, 600 MeV"),
    ],
)
def test_spots_beyond_a_cut_off_are_refused(name: str, cuts: dict[str, float], reason: str) -> None:
    (found,) = problems(name, spots(**cuts))
    assert found.path == f"beam.{next(iter(cuts))}"
    assert found.reason == f"{reason}, of which nothing is left"


@pytest.mark.parametrize("name", TAKE_SPOTS)
@pytest.mark.parametrize("energy", [1e-6, 5e8])  # MeV per nucleon
def test_energies_of_spots_are_bounded_like_those_of_beams(name: str, energy: float) -> None:
    line = f"{energy / 1000!r} 0 0 0.5 1"
    marked = spots()
    marked["beam"]["sourceFile"]["value"] = f"{SPOTS}{line}\n"
    (of_list,) = problems(name, marked)
    of_beam, *_ = problems(
        name,
        build({"particle": CARBON, "energy": energy, "energyUnit": "MeV/nucl", "energySpread": 0}),
    )
    assert (of_list.path, of_beam.path) == ("beam.sourceFile.value", "beam.energy")
    assert of_list.reason == f"line 3: {of_beam.reason}"


@pytest.mark.parametrize("name", TAKE_SPOTS)
def test_files_inside_a_project_lose_their_byte_order_mark(name: str) -> None:
    marked = spots()
    marked["beam"]["sourceFile"] = {"name": "s", "value": f"\ufeff{SPOTS}"}
    assert engine(name).convert(marked).files == engine(name).convert(spots()).files


@pytest.mark.parametrize("name", TAKE_SPOTS)
def test_cut_offs_beyond_all_spots_do_not_matter(name: str) -> None:
    assert not problems(name, spots(energyLowCutoff=599, energyHighCutoff=2401))


@pytest.mark.parametrize("name", TAKE_SPOTS)
def test_spots_whose_spectrum_reaches_energies_below_0_are_refused(name: str) -> None:
    (found, _) = problems(name, spots(energySpread=2400))
    assert found.path == "beam.sourceFile.value"
    assert "less than a 5th" in found.reason


def test_part_of_a_spot_is_cut_by_engines_that_can() -> None:
    cut = spots(energySpread=12, energyHighCutoff=2410)
    assert not problems("shieldhit", cut)
    (found,) = problems("geant4", cut)
    assert "can't cut the spot's spectrum off at 2410 MeV" in found.reason


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


@pytest.mark.parametrize("name", ENGINES)
def test_a_parsed_project_converts_as_its_json_does(name: str) -> None:
    assert engine(name).convert(parse_project(build())) == engine(name).convert(build())


@pytest.mark.parametrize("name", ENGINES)
def test_filters_of_one_name_that_differ_are_told_apart(name: str) -> None:
    built = build()
    scoring = built["scoringManager"]
    scoring["filters"] = [
        {"uuid": "p", "name": "F", "particle": {"id": 2}},
        {"uuid": "n", "name": "F", "particle": {"id": 4}},
        {"uuid": "q", "name": "F", "particle": {"id": 2}},
        {"uuid": "g", "name": "G", "particle": {"id": 4}},
    ]
    output = scoring["outputs"][0]
    first = {**output["quantities"][0], "keyword": "Fluence"}
    output["quantities"] = [{**first, "filter": uuid} for uuid in ("p", "n", "q", "g")]
    (mapped,) = engine(name).convert(built).outputs
    labels = [quantity.filter_name for quantity in mapped.quantities]
    assert labels == ["F (proton)", "F (pion+)", "F (proton)", "G"]


def test_rules_tell_filters_apart_too() -> None:
    built = build()
    long = [{"keyword": "A", "operator": ">=", "value": k / 7} for k in range(20)]
    built["scoringManager"]["filters"] = [
        {"uuid": "a", "name": "F", "rules": [{"keyword": "Z", "operator": "==", "value": 1}]},
        {"uuid": "b", "name": "F", "rules": long},
        {"uuid": "c", "name": "F", "rules": long[1:]},
    ]
    quantities = built["scoringManager"]["outputs"][0]["quantities"]
    quantities[:] = [{**quantities[0], "filter": uuid} for uuid in "abc"]
    labels = parse_project(built).filter_labels
    assert labels == {"a": "F (Z==1)", "b": "F (no. 2)", "c": "F (no. 3)"}


def test_no_label_is_that_of_a_filter_with_another_name() -> None:
    built = build()
    near = 0.1 + 0.2  # differs from 0.3 in the last of 17 digits
    values = {"a": 1, "b": 2, "c": near, "d": 0.3}
    named = {"a": "F", "b": "F", "c": "G", "d": "G"}
    filters = [
        {
            "uuid": uuid,
            "name": named[uuid],
            "rules": [{"keyword": "E", "operator": ">", "value": value}],
        }
        for uuid, value in values.items()
    ]
    other = {"uuid": "x", "name": "F (E>1)", "particle": {"id": 2}}
    built["scoringManager"]["filters"] = [*filters, other]
    quantities = built["scoringManager"]["outputs"][0]["quantities"]
    quantities[:] = [{**quantities[0], "filter": uuid} for uuid in "abcdx"]
    labels = parse_project(built).filter_labels
    assert labels["x"] == "F (E>1)"
    assert (labels["a"], labels["b"]) == ("F (no. 1)", "F (E>2)")
    assert len(set(labels.values())) == len(labels)
