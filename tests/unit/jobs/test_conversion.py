"""The answer of one conversion, for any request."""

from __future__ import annotations

import cProfile
from pathlib import Path
from typing import Any

import orjson
import pytest

from kerma_common.errors import InvalidRequest
from kerma_common.http.body.json_body import Unparsed, parse
from kerma_common.http.body.large_bodies import MOST_SMALL, body_of
from kerma_engines.adapter.packing import decode_inputs
from kerma_engines.catalogue.catalogue import load_catalogue
from kerma_engines.catalogue.registry import ENGINE_NAMES, engine
from kerma_engines.errors import MAX_PROBLEMS
from kerma_engines.geant4.data import REQUIRED, installed
from kerma_engines.project.project import parse_project
from kerma_jobs.adapters.conversion.nursery import REHEARSAL
from kerma_jobs.adapters.conversion.work import LONGEST_REASON, answer, engines
from kerma_jobs.app.submission import BODY_KEYS, check_bins, parse_submission
from kit.inputs.projects import demo_project

MACRO = "run.mac"


def asked(payload: object, *, kind: str = "project", name: str = "geant4") -> tuple[Any, bytes]:
    """Return the head of the answer, parsed, and its body."""
    request = {"engine": name, "kind": kind, "payload": payload, "stands_in_for": ""}
    head, inputs = answer(*sent(request), engines({}))
    return orjson.loads(head), inputs


def sent(order: dict[str, Any]) -> tuple[bytes, bytes]:
    """Return a request; the payload is one of the order's values here."""
    head = {k: v for k, v in order.items() if k != "payload"}
    return orjson.dumps(head), orjson.dumps(order["payload"])


def with_macro(text: str) -> dict[str, str]:
    """Return valid files, except for what comes before the macro's first line."""
    files = dict(engine("geant4", {}).convert(demo_project()).files)
    return {**files, MACRO: text + files[MACRO]}


def test_data_sets_allow_what_needs_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = demo_project()
    project["beam"]["particle"] = {"id": 1, "name": "Neutron", "a": 1, "z": 0}
    told, _ = asked(project)
    assert "neutrons do not interact" in told["problems"][0][1]
    for name in (*REQUIRED, "GEANT4_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
        (tmp_path / name).mkdir()
        (tmp_path / name / "data").touch()
    variables = ", ".join(f'{name} = "{tmp_path / name}"' for name in REQUIRED)
    file = tmp_path / "engines.toml"
    file.write_text(f"[geant4]\nenvironment = {{ {variables} }}\n")
    data = installed(load_catalogue(file).environment("geant4"))
    request = {"engine": "geant4", "kind": "project", "payload": project, "stands_in_for": ""}
    assert b"problems" not in answer(*sent(request), engines(data))[0]


@pytest.mark.parametrize("name", ENGINE_NAMES)
def test_the_rehearsal_goes_through_everything(name: str) -> None:
    told, inputs = asked(REHEARSAL, name=name)
    assert told == {"engine": name, "primaries": 10, "bins": 10}
    assert decode_inputs(inputs).outputs


def test_the_engine_asked_for_is_kept_beside_the_one_that_runs() -> None:
    request = {
        "engine": "geant4",
        "kind": "project",
        "payload": REHEARSAL,
        "stands_in_for": "fluka",
    }
    _, inputs = answer(*sent(request), engines({}))
    assert decode_inputs(inputs).stands_in_for == "fluka"


def test_of_many_problems_the_first_are_told_and_all_are_counted() -> None:
    told, rest = asked(with_macro("/control/shell ls\n" * 5000), kind="files")
    assert told["count"] == 5000
    assert len(told["problems"]) == MAX_PROBLEMS
    assert told["problems"][0][0] == f"{MACRO}:1"
    assert rest == b""


def test_long_texts_are_not_sent_back() -> None:
    told, _ = asked(with_macro("/" + "x" * 100_000 + "\n"), kind="files")
    assert len(told["problems"][0][1]) == LONGEST_REASON


def test_work_grows_with_the_number_of_names_not_with_its_square() -> None:
    few, many = steps_for(250), steps_for(1000)
    assert many < 5 * few


def steps_for(count: int) -> int:
    """Count the generator calls and steps needed to read a macro with this many names."""
    mesh = "/score/create/boxMesh m{0}\n/score/mesh/boxSize 1 1 1 cm\n/score/mesh/nBin 1 1 1\n{1}/score/close\n"
    scorers = "".join(f"/score/quantity/doseDeposit d{k}\n" for k in range(count))
    meshes = "".join(mesh.format(k, "") for k in range(count))
    request = {
        "engine": "geant4",
        "kind": "files",
        "payload": with_macro(meshes + mesh.format("", scorers)),
        "stands_in_for": "",
    }
    profile = cProfile.Profile()
    head, _ = profile.runcall(answer, *sent(request), engines({}))
    assert b"problems" not in head
    return sum(entry.callcount for entry in profile.getstats())


def test_a_project_tells_how_much_it_scores() -> None:
    project = demo_project(10)
    facts, _ = asked(project)
    detectors = {d.uuid: d.geometry_data.bins for d in parse_project(project).detectors}
    assert facts["bins"] >= sum(detectors.values()) > 1


def test_a_macro_tells_how_much_it_scores() -> None:
    """The same bins from a project and from the files that it becomes."""
    project, _ = asked(demo_project(10))
    files, _ = asked(dict(engine("geant4", {}).convert(demo_project(10)).files), kind="files")
    assert files["bins"] == project["bins"] > 1
    mesh = (
        "/score/create/boxMesh wide\n/score/mesh/boxSize 1 1 1 cm\n/score/mesh/nBin 200 200 200\n"
    )
    scorers = "".join(f"/score/quantity/doseDeposit d{k}\n" for k in range(100))
    wide, _ = asked(with_macro(f"{mesh}{scorers}/score/close\n"), kind="files")
    assert wide["bins"] - asked(with_macro(""), kind="files")[0]["bins"] == 100 * 200**3


@pytest.mark.parametrize("name", ["shieldhit", "fluka", "topas"])
def test_ready_made_files_tell_how_much_they_score(name: str) -> None:
    """The same bins as the project they were converted from."""
    files = dict(engine(name, {}).convert(REHEARSAL).files)
    project, ready_made = asked(REHEARSAL, name=name)[0], asked(files, kind="files", name=name)[0]
    assert ready_made["bins"] == project["bins"] == 10


@pytest.mark.parametrize(("bins", "tasks", "refused"), [(10, 10, False), (10, 11, True)])
def test_bins_of_all_tasks_are_bounded(bins: int, tasks: int, refused: bool) -> None:
    if refused:
        with pytest.raises(InvalidRequest) as error:
            check_bins(bins, tasks, most=100)
        assert "KERMA_JOBS_JOB_BINS" in str(error.value.fields)
    else:
        check_bins(bins, tasks, most=100)


def read(body: bytes, depth: int = 64) -> dict[str, Any]:
    """Return a large body as the service gets it."""
    order = {"kind": "read", "depth": depth, "keys": ["title", "ntasks", "input_json"]}
    head, large = answer(orjson.dumps(order), body, {})
    return body_of(orjson.loads(head), large)


def test_large_values_of_a_body_stay_json() -> None:
    project = {"notes": "ż\n" * MOST_SMALL, "beam": {"energy": 1.5}}
    given = {"ntasks": 3, "title": "a", "input_json": project, "other": ["x"] * 10_000}
    assert read(orjson.dumps(given)) == {
        "ntasks": 3,
        "title": "a",
        "input_json": Unparsed(dict, orjson.dumps(project)),
        "other": None,  # routes that refuse unknown keys see that it is there
    }
    given = {"title": "t" * (MOST_SMALL + 1), "input_json": [0] * MOST_SMALL}
    assert read(orjson.dumps(given)) == {
        "title": Unparsed(str, orjson.dumps(given["title"])),
        "input_json": Unparsed(list, orjson.dumps(given["input_json"])),
    }


@pytest.mark.parametrize(
    ("body", "depth", "told"),
    [
        (b'{"title": ', 64, "not valid JSON"),
        (b"[1]", 64, "not a JSON object"),
        (b'{"title": [[[]]]}', 3, "deeper than 3"),
        (b'{"title": [' + b"0," * 1_000_000 + b"0]}", 64, "values"),
    ],
)
def test_large_bodies_are_refused_as_small_ones_are(body: bytes, depth: int, told: str) -> None:
    for reader in (read, parse):
        with pytest.raises(InvalidRequest, match=told):
            reader(body, depth)


def test_a_key_of_a_large_body_that_is_at_fault_is_named() -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(b'{"input_json": {"title": "\\u0000"}}')
    assert list(refused.value.fields) == ["input_json.title"]


def test_a_submission_is_the_same_from_large_and_small_bodies() -> None:
    project = {**demo_project(), "notes": "n" * MOST_SMALL}
    body = {"sim_type": "Geant4", "ntasks": 2, "input_type": "editor", "input_json": project}
    keys = {"kind": "read", "depth": 64, "keys": BODY_KEYS}
    head, large = answer(orjson.dumps(keys), orjson.dumps(body), {})
    found = parse_submission(body_of(orjson.loads(head), large))
    assert found == parse_submission(body)
    assert found.project == orjson.dumps(project)


@pytest.mark.parametrize("key", ["sim_type", "ntasks", "title", "wait_for_engine", "input_type"])
def test_a_value_that_is_too_large_for_its_key_is_named(key: str) -> None:
    body = {"sim_type": "geant4", "ntasks": 1, "input_type": "editor", "input_json": {"a": 1}}
    with pytest.raises(InvalidRequest) as refused:
        parse_submission({**body, key: Unparsed(str, b'"..."')})
    assert list(refused.value.fields) == [key]


def test_files_are_texts() -> None:
    told, _ = asked({"run.mac": ["/run/beamOn 1"]}, kind="files")
    assert told["problems"] == [["", "Every file must be a text."]]
