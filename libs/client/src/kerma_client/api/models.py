"""What the service tells, as typed values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")
TERMINAL = frozenset({"COMPLETED", "FAILED", "CANCELED"})
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """A page of a list; ``next`` is the cursor of the following one, ``total`` if asked for."""

    items: tuple[T, ...]
    next: str | None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class JobEntry:
    """A job in a list; ``engine`` runs it, ``engine_asked_for`` is what the user chose."""

    id: str
    title: str
    state: str
    submitted_at: datetime
    ended_at: datetime | None
    input_type: str
    engine: str
    engine_version: str
    engine_asked_for: str

    @property
    def over(self) -> bool:
        """Whether the job has ended."""
        return self.state in TERMINAL


@dataclass(frozen=True, slots=True)
class Job(JobEntry):
    """A job with the sums over its tasks; ``tasks`` counts them by state."""

    message: str
    requested: int
    simulated: int
    merged: int | None
    tasks: Mapping[str, int]
    partial: bool
    raw: Json


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """One task of a job. ``number`` counts from 0, of jobs on a cluster from 1."""

    number: int
    state: str
    requested: int
    simulated: int
    seconds_left: float | None
    started_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TaskList(Listed[TaskStatus]):
    """A page of tasks with the state of their job, from one snapshot."""

    job_state: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job and its tasks, from one snapshot."""

    id: str
    state: str
    tasks: tuple[TaskStatus, ...]
    message: str

    @property
    def requested(self) -> int:
        """Primaries of all tasks."""
        return sum(task.requested for task in self.tasks)

    @property
    def simulated(self) -> int:
        """Primaries simulated so far."""
        return sum(task.simulated for task in self.tasks)

    @property
    def over(self) -> bool:
        """Whether the job has ended."""
        return self.state in TERMINAL


@dataclass(frozen=True, slots=True)
class Inputs:
    """The input of a job: the files that its engine reads, and the project that they come from."""

    type: str
    primaries: int
    files: Mapping[str, str]
    project: Json | None


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis of bins; ``values`` are their centres."""

    name: str
    unit: str
    values: tuple[float, ...]
    edges: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """One scored quantity; ``raw`` is all that the service tells about it."""

    number: int
    name: str
    unit: str
    axes: tuple[Axis, ...]
    raw: Json

    @property
    def shape(self) -> tuple[int, ...]:
        """Bins along each axis."""
        return tuple(len(axis.values) for axis in self.axes)

    def values(self) -> NDArray[np.float64]:
        """Return the values as an array with one dimension per axis; needs numpy."""
        return self._array(self.raw["data"]["values"])

    def errors(self) -> NDArray[np.float64] | None:
        """Return the standard errors in the shape of the values, None if there are none."""
        errors = self.raw["data"].get("errors")
        return None if errors is None else self._array(errors)

    def _array(self, flat: list[float | None]) -> NDArray[np.float64]:
        import numpy as np

        # null is what JSON has for NaN; the first axis is the fastest
        return np.array(flat, dtype=np.float64).reshape(self.shape, order="F")


@dataclass(frozen=True, slots=True)
class Estimator:
    """The results of one output of the project."""

    number: int
    name: str
    metadata: Mapping[str, str]
    pages: tuple[Page, ...]
    raw: Json


@dataclass(frozen=True, slots=True)
class EstimatorEntry:
    """An estimator without its values: numbers and names of its pages."""

    number: int
    name: str
    metadata: Mapping[str, str]
    pages: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class User:
    """A user; the name is None once it is forgotten."""

    id: str
    username: str | None
    roles: tuple[str, ...]
    disabled: bool
    registered_at: datetime


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user who was created; ``password`` is the one that was made up, None if the caller gave it."""

    id: str
    password: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Token:
    """An API token of the user, without its secret."""

    id: str
    label: str
    roles: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewToken:
    """An API token that was created; ``token`` is the secret."""

    id: str
    token: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """A session of the user; ``current``: that of the request."""

    id: str
    current: bool
    last_used_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Installation:
    """Workers that have the same installation of an engine."""

    version: str
    digest: str
    workers: int
    slots: int
    sandboxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine; while no worker has it, ``substitute`` runs its projects, if there is one."""

    name: str
    workers: int
    slots: int
    installations: tuple[Installation, ...]
    substitute: str | None


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that takes jobs."""

    name: str
    scheduler: str


def listed(read: Any, raw: Json) -> Listed[Any]:
    """Read a page of a list."""
    return Listed(tuple(read(item) for item in raw["items"]), raw["next"], raw.get("total"))


def entry(raw: Json) -> JobEntry:
    """Read a job of a list."""
    return JobEntry(**_entry(raw))


def _entry(raw: Json) -> dict[str, Any]:
    names = ("id", "title", "state", "input_type", "engine", "engine_version", "engine_asked_for")
    times = {"submitted_at": time(raw["submitted_at"]), "ended_at": _maybe(raw["ended_at"])}
    return {**{name: raw[name] for name in names}, **times}


def job(raw: Json) -> Job:
    """Read a job."""
    primaries = raw["primaries"]
    return Job(
        **_entry(raw),
        message=raw["message"],
        requested=primaries["requested"],
        simulated=primaries["simulated"],
        merged=primaries["merged"],
        tasks=raw["tasks"],
        partial=raw["partial"],
        raw=raw,
    )


def task(raw: Json) -> TaskStatus:
    """Read a task."""
    return TaskStatus(
        number=raw["number"],
        state=raw["state"],
        requested=raw["primaries"]["requested"],
        simulated=raw["primaries"]["simulated"],
        seconds_left=raw["seconds_left"],
        started_at=_maybe(raw["started_at"]),
        ended_at=_maybe(raw["ended_at"]),
    )


def task_list(raw: Json) -> TaskList:
    """Read a page of tasks."""
    items = tuple(task(item) for item in raw["items"])
    return TaskList(items, raw["next"], None, raw["job"]["state"], raw["job"]["message"])


def inputs(raw: Json) -> Inputs:
    """Read the input of a job."""
    return Inputs(raw["type"], raw["primaries"], raw["files"], raw["project"])


def estimator_entry(raw: Json) -> EstimatorEntry:
    """Read an estimator of a list."""
    pages = tuple((page["number"], page["name"]) for page in raw["pages"])
    return EstimatorEntry(raw["number"], raw["name"], raw["metadata"], pages)


def estimator(raw: Json) -> Estimator:
    """Read an estimator with its pages."""
    pages = tuple(page(item) for item in raw["pages"])
    return Estimator(raw["number"], raw["name"], raw["metadata"], pages, raw)


def page(raw: Json) -> Page:
    """Read a page."""
    axes = [raw[f"axis_dim{number}"] for number in range(1, raw.get("dimensions", 0) + 1)]
    return Page(
        number=int(raw["metadata"]["page_number"]),
        name=raw["data"]["name"],
        unit=raw["data"]["unit"],
        axes=tuple(
            Axis(a["name"], a["unit"], tuple(a["values"]), tuple(a.get("edges", ()))) for a in axes
        ),
        raw=raw,
    )


def user(raw: Json) -> User:
    """Read a user."""
    return User(
        raw["id"],
        raw["username"],
        tuple(raw["roles"]),
        raw["disabled"],
        time(raw["registered_at"]),
    )


def new_user(raw: Json) -> NewUser:
    """Read a user who was created."""
    return NewUser(raw["id"], raw.get("password"))


def token(raw: Json) -> Token:
    """Read an API token of a list."""
    return Token(
        raw["id"],
        raw["label"],
        tuple(raw["roles"]),
        time(raw["created_at"]),
        time(raw["expires_at"]),
        _maybe(raw["last_used_at"]),
    )


def new_token(raw: Json) -> NewToken:
    """Read a token that was created."""
    return NewToken(raw["id"], raw["token"], time(raw["expires_at"]))


def session(raw: Json) -> Session:
    """Read a session."""
    return Session(raw["id"], raw["current"], time(raw["last_used_at"]), time(raw["expires_at"]))


def engine(raw: Json) -> Engine:
    """Read an engine."""
    installations = tuple(
        Installation(
            one["version"], one["digest"], one["workers"], one["slots"], tuple(one["sandboxes"])
        )
        for one in raw["installations"]
    )
    return Engine(raw["name"], raw["workers"], raw["slots"], installations, raw["substitute"])


def cluster(raw: Json) -> Cluster:
    """Read a cluster."""
    return Cluster(raw["name"], raw["scheduler"])


def time(text: str) -> datetime:
    """Read an ISO 8601 time."""
    return datetime.fromisoformat(text)


def _maybe(text: str | None) -> datetime | None:
    return None if text is None else time(text)
