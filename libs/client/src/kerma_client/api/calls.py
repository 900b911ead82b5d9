"""Every operation as a value: what to send, and how to read the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx

from kerma_client.api import models

T = TypeVar("T")
Json = dict[str, Any]
MOST_TASKS = 10_000
IDEMPOTENT = frozenset({"GET", "PUT", "DELETE"})


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request, and how to read the body of its answer.

    ``repeatable``: sending it again has no further effect. ``lasting``: the answer itself is wanted, whose
    body goes on.
    """

    method: str
    path: str
    read: Callable[[Json], T]
    params: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool | None = None
    lasting: bool = False

    @property
    def may_repeat(self) -> bool:
        """Whether it may be sent again when nobody knows whether it arrived."""
        known = self.repeatable
        return self.method in IDEMPOTENT if known is None else known


def _nothing(_: Json) -> None:
    return None


def _path(*parts: str | int) -> str:
    quoted = (quote(str(part), safe="", errors="replace") for part in parts)
    return "/v1/" + "/".join(quoted)


def _given(**params: Any) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


def _keyed(key: str | None = None) -> dict[str, str]:
    """Return the header that makes all tries of a call one request."""
    return {"Idempotency-Key": key or str(uuid4())}


def login(username: str, password: str) -> Call[None]:
    """Open a session."""
    body = {"username": username, "password": password}
    return Call("POST", "/auth/login", _nothing, body=body)


def logout() -> Call[None]:
    """End the session."""
    return Call("DELETE", "/auth/logout", _nothing)


def register(username: str, password: str) -> Call[None]:
    """Create an account. Not repeated: the second answer would be that the name is taken."""
    body = {"username": username, "password": password}
    return Call("PUT", "/auth/register", _nothing, body=body, repeatable=False)


def change_password(old: str, new: str) -> Call[None]:
    """Replace the user's password. Not repeated: the old one is wrong by then."""
    body = {"old_password": old, "new_password": new}
    return Call("PUT", _path("users", "me", "password"), _nothing, body=body, repeatable=False)


def submit(job: Mapping[str, Any], key: str | None) -> Call[str]:
    """Submit a job; with the same key, it is submitted once however often it is sent."""
    return Call(
        "POST",
        _path("jobs"),
        lambda raw: str(raw["id"]),
        body=job,
        headers=_keyed(key),
        repeatable=True,
    )


def jobs(
    *,
    state: str | None,
    engine: str | None,
    text: str | None,
    cursor: str | None,
    limit: int,
    total: bool,
) -> Call[models.Listed[models.JobEntry]]:
    """Read a page of the user's jobs, newest first."""
    params = _given(state=state, engine=engine, text=text, cursor=cursor, limit=limit)
    if total:
        params["total"] = True
    return Call("GET", _path("jobs"), partial(models.listed, models.entry), params)


def job(job_id: str) -> Call[models.Job]:
    """Read a job."""
    return Call("GET", _path("jobs", job_id), models.job)


def tasks(job_id: str, cursor: str | None, limit: int) -> Call[models.TaskList]:
    """Read a page of a job's tasks."""
    params = _given(cursor=cursor, limit=limit)
    return Call("GET", _path("jobs", job_id, "tasks"), models.task_list, params)


def task(job_id: str, number: int) -> Call[models.TaskStatus]:
    """Read one task of a job."""
    return Call("GET", _path("jobs", job_id, "tasks", number), models.task)


def events(job_id: str | None, after: str) -> Call[httpx.Response]:
    """Open the stream of live updates of a job, or of all jobs."""
    path = _path("jobs", "events") if job_id is None else _path("jobs", job_id, "events")
    headers = {"Last-Event-ID": after} if after else {}
    return Call("GET", path, _unread, headers=headers, lasting=True)


def _unread(_: Json) -> httpx.Response:
    raise TypeError("a stream is read by events")


def status(job_id: str) -> Call[models.JobStatus]:
    """Read a job with all its tasks."""

    def read(raw: Json) -> models.JobStatus:
        found = models.task_list(raw)
        return models.JobStatus(job_id, found.job_state, found.items, found.message)

    params = {"limit": MOST_TASKS}
    return Call("GET", _path("jobs", job_id, "tasks"), read, params)


def inputs(job_id: str) -> Call[models.Inputs]:
    """Read the input of a job."""
    return Call("GET", _path("jobs", job_id, "inputs"), models.inputs)


def cancel(job_id: str) -> Call[str]:
    """Stop a job; the answer is its state."""
    return Call(
        "POST", _path("jobs", job_id, "cancel"), lambda raw: str(raw["state"]), repeatable=True
    )


def delete(job_id: str) -> Call[None]:
    """Delete a job that has ended."""
    return Call("DELETE", _path("jobs", job_id), _nothing)


def estimators(job_id: str) -> Call[models.Listed[models.EstimatorEntry]]:
    """Read which results a job has."""
    read = partial(models.listed, models.estimator_entry)
    return Call("GET", _path("jobs", job_id, "results"), read)


def estimator(job_id: str, number: int, pages: str | None) -> Call[models.Estimator]:
    """Read an estimator."""
    path = _path("jobs", job_id, "results", "estimators", number)
    return Call("GET", path, models.estimator, _given(pages=pages))


def page(job_id: str, number: int, page_number: int) -> Call[models.Page]:
    """Read one page of an estimator."""
    path = _path("jobs", job_id, "results", "estimators", number, "pages", page_number)
    return Call("GET", path, models.page)


def logs(job_id: str) -> Call[dict[str, str]]:
    """Read log texts by name."""

    def read(raw: Json) -> dict[str, str]:
        return {log["name"]: log["text"] for log in raw["items"]}

    return Call("GET", _path("jobs", job_id, "logs"), read)


def engines() -> Call[models.Listed[models.Engine]]:
    """Read which engines there are."""
    return Call("GET", _path("engines"), partial(models.listed, models.engine))


def clusters() -> Call[models.Listed[models.Cluster]]:
    """Read which clusters there are."""
    return Call("GET", _path("clusters"), partial(models.listed, models.cluster))


def create_token(label: str, days: int) -> Call[models.NewToken]:
    """Create an API token: one, however often the call is sent."""
    return Call(
        "POST",
        _path("tokens"),
        models.new_token,
        body={"label": label, "days": days},
        headers=_keyed(),
        repeatable=True,
    )


def tokens() -> Call[models.Listed[models.Token]]:
    """Read the user's API tokens."""
    return Call("GET", _path("tokens"), partial(models.listed, models.token))


def revoke_token(token_id: str) -> Call[None]:
    """Make an API token void."""
    return Call("DELETE", _path("tokens", token_id), _nothing)


def sessions() -> Call[models.Listed[models.Session]]:
    """Read the user's sessions."""
    return Call("GET", _path("sessions"), partial(models.listed, models.session))


def end_session(session_id: str) -> Call[None]:
    """End a session of the user."""
    return Call("DELETE", _path("sessions", session_id), _nothing)


def end_other_sessions() -> Call[None]:
    """End all sessions of the user but this one."""
    return Call("DELETE", _path("sessions"), _nothing)


def create_user(username: str, password: str | None) -> Call[models.NewUser]:
    """Create a user: one, however often the call is sent."""
    body = _given(username=username, password=password)
    return Call(
        "POST", _path("users"), models.new_user, body=body, headers=_keyed(), repeatable=True
    )


def me() -> Call[models.User]:
    """Read the user's own account."""
    return Call("GET", _path("users", "me"), models.user)


def users(cursor: str | None, limit: int) -> Call[models.Listed[models.User]]:
    """Read a page of all users."""
    read = partial(models.listed, models.user)
    return Call("GET", _path("users"), read, _given(cursor=cursor, limit=limit))


def remove_user(user_id: str) -> Call[None]:
    """Remove a user."""
    return Call("DELETE", _path("users", user_id), _nothing)


def switch_user(user_id: str, how: str) -> Call[models.User]:
    """Disable or enable a user."""
    return Call("POST", _path("users", user_id, how), models.user, repeatable=True)


def role(user_id: str, name: str, *, granted: bool) -> Call[models.User]:
    """Give a role to a user, or take it."""
    method = "PUT" if granted else "DELETE"
    return Call(method, _path("users", user_id, "roles", name), models.user)
