"""What streams of live updates hold, for the OpenAPI document and for what renders them."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

import orjson
from pydantic import Field
from typing_extensions import TypedDict

from kerma_common.http.event_stream import RETRY_MILLISECONDS, message
from kerma_common.http.refusals.statuses import EVENT_STREAM, Body
from kerma_jobs.api.native.views import State, TaskCounts
from kerma_jobs.api.shapes import ID

Position = Annotated[
    str,
    Field(
        description="Send it as `Last-Event-ID` to go on from here at any replica. Of events that are"
        " told together, only the last has one."
    ),
]


class SimulatedPrimaries(TypedDict):
    """Primaries of all tasks."""

    requested: int
    simulated: int


class JobUpdate(TypedDict):
    """The present state of a job.

    ``message`` says why it waits, and when it may start and end, as its status does. ``version`` is
    another one whenever the job or one of its tasks has changed; progress of running tasks aside.
    """

    id: str
    state: State
    message: str
    version: str
    tasks: TaskCounts
    primaries: SimulatedPrimaries


class JobGone(TypedDict):
    """A deleted job."""

    id: str


class Nothing(TypedDict):
    """No data."""


class JobEvent(TypedDict):
    """A job has changed, or is told of at the beginning. Only its latest state is sent."""

    event: Literal["job"]
    id: NotRequired[Position]
    data: JobUpdate


class DeletedEvent(TypedDict):
    """A job was deleted."""

    event: Literal["deleted"]
    id: NotRequired[Position]
    data: JobGone


class ResetEvent(TypedDict):
    """Not everything can be told: read the list of jobs."""

    event: Literal["reset"]
    id: NotRequired[Position]
    data: Nothing


class ReadyEvent(TypedDict):
    """All that was before the stream was opened has been told."""

    event: Literal["ready"]
    id: Position
    data: Nothing


Event = Annotated[JobEvent | DeletedEvent | ResetEvent | ReadyEvent, Field(discriminator="event")]
_JOB: JobUpdate = {
    "id": ID,
    "state": "PENDING",
    "message": "Job state: PENDING; it waits in the queue: 2 tasks start before its first one; "
    "it may start in about 40 s and end in about 3 minutes",
    "version": "16412-901-7-12",
    "tasks": {
        "total": 4,
        "pending": 4,
        "running": 0,
        "completed": 0,
        "failed": 0,
        "canceled": 0,
    },
    "primaries": {"requested": 1000, "simulated": 0},
}
STREAM = Body(
    Event,
    b"".join(
        (
            b"retry: %d\n\n" % RETRY_MILLISECONDS,
            message("job", None, orjson.dumps(_JOB)),
            message("ready", "12-40-7", b"{}"),
        )
    ).decode(),
    EVENT_STREAM,
)
