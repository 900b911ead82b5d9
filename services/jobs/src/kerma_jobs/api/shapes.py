"""Bodies of the YAPTIDE paths, for the OpenAPI document."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from kerma_common.http.refusals.statuses import Body, envelope

ID = "20261122-012556-35fb9d80-6a3e-4b43-9c0a-0c4c5a1a2b3cDIRECT"
_TIME = "Sun, 22 Nov 2026 01:25:56 GMT"


class DirectJob(TypedDict):
    """A job to submit; with ``input_json`` for ``editor``, with ``input_files`` for ``files``."""

    sim_type: str
    ntasks: int
    input_type: Literal["editor", "files"]
    title: NotRequired[str]
    wait_for_engine: NotRequired[bool]
    input_json: NotRequired[dict[str, Any]]
    input_files: NotRequired[dict[str, str]]


DIRECT = Body(
    DirectJob,
    {
        "sim_type": "geant4",
        "ntasks": 4,
        "input_type": "files",
        "title": "150 MeV protons in water",
        "input_files": {"geometry.gdml": "<gdml/>", "run.mac": "/run/beamOn 1000\n"},
    },
)
SUBMITTED = envelope("Job waiting for execution", job_id=ID)
STATUS = envelope(
    "Job state: RUNNING",
    job_state="RUNNING",
    partial_results_available=False,
    job_tasks_status=[
        {
            "task_id": 0,
            "task_state": "RUNNING",
            "requested_primaries": 250,
            "simulated_primaries": 120,
            "last_update_time": _TIME,
            "start_time": _TIME,
            "estimated_time": {"hours": 0, "minutes": 0, "seconds": 12},
        }
    ],
)
INPUTS = envelope(
    "Input of the job",
    input={
        "input_type": "FILES",
        "input_files": {"geometry.gdml": "<gdml/>", "run.mac": "/run/beamOn 1000\n"},
        "number_of_all_primaries": 1000,
    },
)
SIMULATIONS = envelope(
    "Jobs of the user",
    page_count=1,
    simulations_count=1,
    simulations=[
        {
            "job_id": ID,
            "title": "150 MeV protons in water",
            "start_time": _TIME,
            "end_time": None,
            "metadata": {
                "platform": "DIRECT",
                "server": "Yaptide",
                "input_type": "FILES",
                "sim_type": "geant4",
            },
        }
    ],
)
