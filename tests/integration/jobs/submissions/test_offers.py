"""The engine that runs a job follows from what workers offer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio

from kerma_common.contracts.events import jobs as ev
from kerma_common.contracts.subjects import job_subject
from kerma_common.infra import Infra
from kerma_engines.catalogue.registry import engine
from kit.inputs.editor import box, project, zone
from kit.running.worlds.jobs_world import as_user, leave, offer

pytestmark = pytest.mark.asyncio(loop_scope="module")

Jobs = tuple[httpx.AsyncClient, Infra]
EDITOR = project({"a": box((4, 4, 4))}, [zone("water", "a")], quantities=[{"keyword": "Dose"}])


def body(name: str, *, files: bool = False, **changes: Any) -> dict[str, Any]:
    given = (
        {"input_type": "files", "input_files": dict(engine(name).convert(EDITOR).files)}
        if files
        else {"input_type": "editor", "input_json": EDITOR}
    )
    return {"sim_type": name, "ntasks": 2, **given, **changes}


async def submitted(infra: Infra, job: str) -> ev.JobSubmitted:
    history = await infra.log.load(job_subject(job))
    event = history[0].commit.events[0].decode()
    assert isinstance(event, ev.JobSubmitted)
    return event


@pytest_asyncio.fixture(loop_scope="module")
async def fluka(jobs: Jobs) -> AsyncIterator[None]:
    await offer(jobs[1], "licensed", "fluka")
    yield
    await leave(jobs[1], "licensed")


@pytest_asyncio.fixture(loop_scope="module")
async def stand_in(jobs: Jobs) -> AsyncIterator[None]:
    await offer(jobs[1], "helpful", "geant4", shieldhit="geant4", fluka="geant4")
    yield
    await leave(jobs[1], "helpful")


@pytest.mark.parametrize("files", [False, True], ids=["editor", "files"])
async def test_a_job_that_nobody_can_run_is_refused(jobs: Jobs, files: bool) -> None:
    client, infra = jobs
    before = (await infra.log.state("JOBS")).last
    answer = await as_user(client)("POST", "/jobs/direct", json=body("shieldhit", files=files))
    assert answer.status_code == 400
    (told,) = answer.json()["sim_type"]
    assert "No worker offers shieldhit now; offered: geant4." in told
    assert "wait_for_engine" in told
    assert answer.json()["message"] == f"Wrong data provided: sim_type: {told}"
    assert (await infra.log.state("JOBS")).last == before


async def test_workers_that_take_no_jobs_of_users_do_not_count(jobs: Jobs) -> None:
    client, infra = jobs
    await offer(infra, "elsewhere", "topas", resource_class="large")
    answer = await as_user(client)("POST", "/jobs/direct", json=body("topas"))
    assert answer.status_code == 400
    await leave(infra, "elsewhere")


async def test_an_engine_of_no_release_is_refused_even_if_the_job_would_wait(jobs: Jobs) -> None:
    given = body("topas", wait_for_engine=True, sim_type="penelope")
    answer = await as_user(jobs[0])("POST", "/jobs/direct", json=given)
    assert answer.status_code == 400
    assert "fluka, geant4, shieldhit, topas" in answer.json()["sim_type"][0]


async def test_wait_for_engine_is_true_or_false(jobs: Jobs) -> None:
    given = body("fluka", wait_for_engine="yes")
    answer = await as_user(jobs[0])("POST", "/jobs/direct", json=given)
    assert (answer.status_code, list(answer.json())) == (400, ["message", "wait_for_engine"])


@pytest.mark.parametrize("files", [False, True], ids=["editor", "files"])
async def test_a_job_may_wait_for_its_engine(jobs: Jobs, files: bool) -> None:
    client, infra = jobs
    send = as_user(client)
    given = body("fluka", files=files, wait_for_engine=True)
    answer = await send("POST", "/jobs/direct", json=given)
    assert answer.status_code == 202, answer.text
    job = answer.json()["job_id"]
    event = await submitted(infra, job)
    assert (event.engine, event.engine_version, event.wait_for_engine) == ("fluka", "", True)
    shown = (await send("GET", "/jobs", params={"job_id": job})).json()
    assert shown["message"] == "Job state: PENDING; no worker offers fluka now"
    await offer(infra, "late", "fluka")
    shown = (await send("GET", "/jobs", params={"job_id": job})).json()
    assert shown["message"].startswith("Job state: PENDING; ")
    assert "no worker" not in shown["message"]
    await leave(infra, "late")


@pytest.mark.usefixtures("fluka")
@pytest.mark.parametrize("files", [False, True], ids=["editor", "files"])
async def test_an_offered_engine_runs_what_is_made_for_it(jobs: Jobs, files: bool) -> None:
    client, infra = jobs
    answer = await as_user(client)("POST", "/jobs/direct", json=body("FLUKA", files=False))
    assert answer.status_code == 202, answer.text
    given = body("fluka", files=files)
    job = (await as_user(client)("POST", "/jobs/direct", json=given)).json()["job_id"]
    event = await submitted(infra, job)
    assert (event.sim_type, event.engine, event.engine_version) == ("fluka", "fluka", "1.0")


@pytest.mark.usefixtures("stand_in")
async def test_an_editor_project_may_run_on_another_engine(jobs: Jobs) -> None:
    client, infra = jobs
    send = as_user(client)
    job = (await send("POST", "/jobs/direct", json=body("shieldhit"))).json()["job_id"]
    event = await submitted(infra, job)
    assert (event.sim_type, event.engine) == ("shieldhit", "geant4")
    stored = orjson.loads(await infra.blobs.get(event.input_ref))
    assert (stored["engine"], stored["stands_in_for"]) == ("geant4", "shieldhit")
    assert set(stored["files"]) == {"geometry.gdml", "run.mac"}
    shown = (await send("GET", "/jobs", params={"job_id": job})).json()
    assert shown["message"].startswith("Job state: PENDING; ")
    assert shown["message"].endswith("; geant4 runs it in place of shieldhit")
    listed = (await send("GET", "/user/simulations")).json()["simulations"]
    # the UI shows every value
    assert listed[0]["metadata"] == {
        "platform": "DIRECT",
        "server": "Yaptide",
        "input_type": "EDITOR",
        "sim_type": "shieldhit",
        "engine": f"geant4 {event.engine_version}",
    }
    (native,) = (await send("GET", "/v1/jobs")).json()["items"]
    assert (native["engine"], native["engine_asked_for"]) == ("geant4", "shieldhit")
    assert native["engine_version"] == event.engine_version


@pytest.mark.usefixtures("stand_in")
async def test_input_files_never_run_on_another_engine(jobs: Jobs) -> None:
    answer = await as_user(jobs[0])("POST", "/jobs/direct", json=body("shieldhit", files=True))
    assert answer.status_code == 400
    assert "No worker offers shieldhit" in answer.json()["sim_type"][0]


@pytest.mark.usefixtures("stand_in", "fluka")
async def test_the_engine_itself_goes_before_its_substitute(jobs: Jobs) -> None:
    client, infra = jobs
    job = (await as_user(client)("POST", "/jobs/direct", json=body("fluka"))).json()["job_id"]
    assert (await submitted(infra, job)).engine == "fluka"


async def test_names_of_files_end_without_underscores(jobs: Jobs) -> None:
    client, infra = jobs
    await offer(infra, "licensed", "shieldhit")
    given = body("shieldhit", files=True)
    files = given["input_files"]
    assert "out0.bdo" in files["detect.dat"]
    files["detect.dat"] = files["detect.dat"].replace("out0.bdo", "z_profile_.bdo")
    job = (await as_user(client)("POST", "/jobs/direct", json=given)).json()["job_id"]
    stored = orjson.loads(await infra.blobs.get((await submitted(infra, job)).input_ref))
    (output,) = stored["outputs"]
    assert (output["name"], output["file"]) == ("z_profile", "z_profile_.bdo")
    await leave(infra, "licensed")
