"""The body of ``POST /v1/jobs``, read by the rules of ``POST /jobs/direct`` under its own names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from kerma_common.errors import WRONG_DATA, InvalidRequest
from kerma_common.http.refusals.statuses import Body
from kerma_jobs.app.batch_options import LONGEST_CLUSTER, BatchOptions
from kerma_jobs.app.submission import (
    ANY_CLUSTER,
    MAX_TASKS,
    MAX_TITLE,
    NATIVE_KEYS,
    Submission,
    parse_submission,
)

ITS_NAMES = {
    "sim_type": "engine",
    "ntasks": "tasks",
    "input_json": "project",
    "input_files": "files",
}
"""Our names of fields of ``POST /jobs/direct``."""


class NewJob(BaseModel):
    """A job to submit, with either a project or files."""

    model_config = ConfigDict(extra="forbid")
    engine: Annotated[str, Field(min_length=1, description="One of `GET /v1/engines`.")]
    tasks: Annotated[int, Field(ge=1, le=MAX_TASKS)] = 1
    title: Annotated[str, Field(max_length=MAX_TITLE)] = ""
    wait_for_engine: Annotated[
        bool, Field(description="Wait for a worker with the engine if there is none now.")
    ] = False
    project: Annotated[dict[str, Any] | None, Field(description="A project of the editor.")] = None
    files: Annotated[dict[str, str] | None, Field(description="Input files by name.")] = None
    cluster: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=LONGEST_CLUSTER,
            description="The cluster that runs the job, one of `GET /v1/clusters`, or "
            f"`{ANY_CLUSTER}` for the only one there is; without it, Kerma's workers run the job. "
            "For users of Keycloak.",
        ),
    ] = None


NEW_JOB = Body(
    NewJob,
    {
        "engine": "geant4",
        "tasks": 4,
        "title": "150 MeV protons in water",
        "files": {"geometry.gdml": "<gdml/>", "run.mac": "/run/beamOn 1000\n"},
    },
)


def parse_new_job(body: Mapping[str, Any]) -> Submission:
    """Parse the body, of which large values are unparsed.

    Raises InvalidRequest naming every invalid key.
    """
    faults = {key: ["Unknown field."] for key in body.keys() - set(NATIVE_KEYS)}
    if "engine" not in body:
        faults["engine"] = ["Missing data for required field."]
    given = [key for key in ("project", "files") if body.get(key) is not None]
    if len(given) != 1:
        faults["project"] = ["Give either a project or files."]
    cluster = body.get("cluster")
    if cluster is not None and not _is_name(cluster):
        faults["cluster"] = [f"Not a string of 1 to {LONGEST_CLUSTER} characters."]
    if faults:
        raise InvalidRequest(WRONG_DATA, faults)
    kept = ("title", "wait_for_engine")
    with under_own_names():
        made = parse_submission(
            {
                "sim_type": body["engine"],
                "ntasks": body.get("tasks", 1),
                "input_type": "editor" if given == ["project"] else "files",
                "input_json": body.get("project"),
                "input_files": body.get("files"),
                **{key: body[key] for key in kept if key in body},
            }
        )
    return made if cluster is None else replace(made, batch=BatchOptions(cluster, exact=True))


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= LONGEST_CLUSTER


@contextmanager
def under_own_names() -> Iterator[None]:
    """Rename the fields in refusals: a fault in ``input_json.beam`` is one in ``project.beam``."""
    try:
        yield
    except InvalidRequest as refused:
        fields = {_renamed(field): reasons for field, reasons in refused.fields.items()}
        raise InvalidRequest(refused.message, fields) from refused


def _renamed(field: str) -> str:
    for theirs, ours in ITS_NAMES.items():
        rest = field.removeprefix(theirs)
        if field.startswith(theirs) and rest[:1] in ("", ".", "["):
            return ours + rest
    return field
