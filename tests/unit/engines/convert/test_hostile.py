"""Conversion of any project or file gives files or reasons, never another error."""

from __future__ import annotations

import contextlib
import copy
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine_inputs import detector, figure, output, project, zone
from kerma_engines.catalogue.registry import engine
from kerma_engines.errors import InvalidInput

ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    1e-300,
    1e300,
    2**64,
    10**400,
    math.nan,
    math.inf,
    "",
    "x" * 1000,
    "a\nb",
    "../../etc",
    '"; rm -rf /',
    "\ud800",
    "\0",
    [],
    {},
    [[[]]],
    {"uuid": {}},
    "geant4",
    "Flat circular",
    "MeV/nucl",
    "Zone",
    "KineticEnergySpectrum",
]


def rich() -> dict[str, Any]:
    """A project that uses every part of the model."""
    figures = [
        figure("a", "box", (0, 0, 0), (0, 30, 0), width=4, height=4, depth=4),
        figure("b", "cylinder", (1, 0, 0), radius=1, innerRadius=0.5, depth=3),
        figure("c", "sphere", (0, 0, 5), radius=1),
    ]
    zones = [
        zone("z1", 276, "a-b", "c", density=1.1),
        zone("z2", 82, "b*a", customStoppingPower=True),
    ]
    mapping = project(figures, zones, figure("w", "sphere", radius=20), 104)
    mapping["beam"] |= {
        "sigma": {"type": "Gaussian", "x": 1, "y": 2},
        "sad": {"type": "double", "x": 200, "y": 250},
        "divergence": {"x": 1, "y": 1, "distanceToFocal": 0},
        "position": [0, 0, -10],
        "direction": [0, 1, 1],
        "energyLowCutoff": 0,
        "energyHighCutoff": 1000,
        "sourceType": "simple",
        "sourceFile": {"name": "s.dat", "value": "1 2 3"},
    }
    mapping["physic"] = {
        "energyLoss": 0.03,
        "enableNuclearReactions": True,
        "energyModelStraggling": "Gaussian",
        "multipleScattering": "Moliere",
        "availableStoppingPowerFiles": {"82": {"name": "Pb.txt", "content": "1"}},
    }
    modifier = {"diffType": "E", "lowerLimit": 0, "upperLimit": 9, "binsNumber": 3, "isLog": False}
    rule = {"keyword": "Z", "operator": "==", "value": 1}
    mapping["scoringManager"] = {
        "filters": [
            {"uuid": "f1", "name": "f1", "rules": [rule]},
            {"uuid": "f2", "name": "f2", "particle": {"id": 24, "name": "He"}},
        ],
        "outputs": [
            output("o1", "Dose", "Fluence", filter="f1"),
            output("o2", "Fluence", modifiers=[modifier], rescale=2, materialUuid="icru276"),
        ],
    }
    mapping["detectorManager"] = {"detectors": [detector()]}
    return mapping


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        found += [p for key, part in value.items() for p in places(part, (*path, key))]
    elif isinstance(value, list):
        found += [p for key, part in enumerate(value) for p in places(part, (*path, key))]
    return found


def plain() -> dict[str, Any]:
    """A project that all engines can express."""
    figures = [figure("a", "box", width=4, height=4, depth=4), figure("b", "sphere", radius=1)]
    zones = [zone("z1", 276, "a-b", density=1.1), zone("z2", 170, "b")]
    mapping = project(figures, zones, figure("w", "sphere", radius=20), 104)
    mapping["scoringManager"] = {
        "filters": [{"uuid": "f", "name": "f", "particle": {"id": 24, "name": "He"}}],
        "outputs": [output("o1", "Dose", "Fluence", filter="f"), output("o2", "Fluence")],
    }
    return mapping


def spoilt(mapping: dict[str, Any], changes: list[tuple[Any, Any]]) -> dict[str, Any]:
    for path, value in changes:
        target = mapping
        try:
            for step in path[:-1]:
                target = target[step]
            target[path[-1]] = copy.deepcopy(value)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change removed this place
    return mapping


def changed(mapping: dict[str, Any]) -> st.SearchStrategy[list[tuple[Any, Any]]]:
    change = st.tuples(st.sampled_from(places(mapping)), st.sampled_from(ODD))
    return st.lists(change, min_size=1, max_size=3)


def convert(name: str, mapping: dict[str, Any]) -> bool:
    """Return whether the engine accepts the project; any error without a reason is a failure."""
    try:
        files = engine(name).convert(mapping).files
    except InvalidInput as refused:
        return not refused.problems
    assert all(text.isascii() for text in files.values())
    return True


@settings(max_examples=300)
@given(changed(rich()))
def test_a_spoilt_project_is_converted_or_refused(changes: list[tuple[Any, Any]]) -> None:
    convert("shieldhit", spoilt(rich(), changes))


@settings(max_examples=300)
@given(changed(plain()))
def test_a_spoilt_plain_project_too(changes: list[tuple[Any, Any]]) -> None:
    for name in ("fluka", "topas"):
        convert(name, spoilt(plain(), changes))


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=200)
LINES = st.one_of(
    st.sampled_from(
        [
            "START", "RANDOMIZ", "TITLE", "STOP", "USRBIN", "&", "NSTAT", "Output", "Filename",
            "Quantity", "includeFile = ", "i:So/A/NumberOfHistoriesInRun = 5", "=", "#", "1e5", ",",
        ]
    ),
    TEXTS,
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(LINES, max_size=12).map("\n".join), st.lists(LINES, max_size=4).map(" ".join))
def test_spoilt_files_are_accepted_or_refused(text: str, line: str) -> None:
    sets = {
        "shieldhit": {"beam.dat": text, "geo.dat": "x", "mat.dat": "x", "detect.dat": line},
        "fluka": {"a.inp": f"{text}\n{line}"},
        "topas": {"a.txt": f"{text}\n{line}"},
    }
    for name, files in sets.items():
        with contextlib.suppress(InvalidInput):
            assert engine(name).accept_files(files).primaries >= 1


def test_the_unspoilt_projects_are_taken() -> None:
    assert convert("shieldhit", rich())
    assert all(convert(name, plain()) for name in ("shieldhit", "fluka", "topas"))
