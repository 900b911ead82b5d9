"""A typed client of the REST interface, for the command line and for scripts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

import httpx

from kerma_client.errors import ApiError, UnreachableError

TERMINAL = frozenset({"COMPLETED", "FAILED", "CANCELED"})


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """One task of a job."""

    index: int
    state: str
    requested: int
    simulated: int
    seconds_left: float | None


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job and its tasks, from one snapshot."""

    job_id: str
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


class KermaClient:
    """A session with one Kerma; use as a context manager."""

    def __init__(
        self,
        base_url: str,
        timeout: float = 30.0,
        transport: httpx.BaseTransport | None = None,
        token: str | None = None,
    ) -> None:
        """``token`` is an API token; without one, log in."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(
            base_url=base_url, timeout=timeout, transport=transport, headers=headers
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    @property
    def cookies(self) -> Mapping[str, str]:
        """The tokens of this session."""
        return dict(self._http.cookies)

    def login(self, username: str, password: str) -> None:
        """Open a session; tokens stay in this client's cookies."""
        self._send("POST", "/auth/login", json={"username": username, "password": password})

    def register(self, username: str, password: str) -> None:
        """Create an account."""
        self._send("PUT", "/auth/register", json={"username": username, "password": password})

    def change_password(self, old: str, new: str) -> None:
        """Replace the user's password; all other sessions of the user end."""
        body = {"old_password": old, "new_password": new}
        self._send("PUT", "/v1/users/me/password", json=body)

    def create_token(self, label: str, days: int) -> dict[str, str]:
        """Create an API token; ``token`` in the answer is shown this once only."""
        return self._send("POST", "/v1/tokens", json={"label": label, "days": days})

    def tokens(self) -> list[dict[str, Any]]:
        """Return the user's API tokens, without their secrets."""
        found: list[dict[str, Any]] = self._send("GET", "/v1/tokens")["tokens"]
        return found

    def revoke_token(self, token_id: str) -> None:
        """Make an API token void."""
        self._send("DELETE", f"/v1/tokens/{quote(token_id, safe='', errors='replace')}")

    def submit(self, body: Mapping[str, Any]) -> str:
        """Submit a job; ``body`` is that of POST /jobs/direct. Returns the job id."""
        job_id: str = self._send("POST", "/jobs/direct", json=body)["job_id"]
        return job_id

    def status(self, job_id: str) -> JobStatus:
        """Return the state of a job and its tasks."""
        answer = self._send("GET", "/jobs", params={"job_id": job_id})
        tasks = tuple(_task(task) for task in answer.get("job_tasks_status", ()))
        return JobStatus(job_id, answer["job_state"], tasks, answer["message"])

    def jobs(self, *, page: int = 1, size: int = 20) -> dict[str, Any]:
        """Return one page of the user's jobs, newest first."""
        return self._send("GET", "/v1/jobs", params={"page": page, "size": size})

    def engines(self) -> list[dict[str, Any]]:
        """Return the engines that Kerma knows, and what workers offer."""
        found: list[dict[str, Any]] = self._send("GET", "/v1/engines")["engines"]
        return found

    def results(self, job_id: str) -> dict[str, Any]:
        """Return all estimators with all pages."""
        return self._send("GET", "/results", params={"job_id": job_id})

    def logfiles(self, job_id: str) -> dict[str, str]:
        """Return log texts by name; empty when no task left one."""
        try:
            answer = self._send("GET", "/logfiles", params={"job_id": job_id, "plain": True})
        except ApiError as error:
            if error.status != httpx.codes.NOT_FOUND:
                raise
            return {}
        found: dict[str, str] = answer["logfiles"]
        return found

    def cancel(self, job_id: str) -> str:
        """Stop a job; returns the message of the service."""
        message: str = self._send("DELETE", "/jobs/direct", params={"job_id": job_id})["message"]
        return message

    def _send(self, method: str, path: str, **how: Any) -> dict[str, Any]:
        try:
            answer = self._http.request(method, path, **how)
            if answer.status_code == httpx.codes.FORBIDDEN and not path.startswith("/auth"):
                # the access token lasts ten minutes; a long job outlives it
                self._http.get("/auth/refresh")
                answer = self._http.request(method, path, **how)
        except UnicodeEncodeError:  # arguments of a command line that are not valid text
            raise ApiError(400, "what was asked for is not valid text", {}) from None
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            raise UnreachableError(f"{self._http.base_url} does not answer: {reason}") from error
        try:
            body: dict[str, Any] = answer.json()
        except ValueError:
            raise ApiError(answer.status_code, answer.text[:200], {}) from None
        if answer.is_error:
            message = str(body.pop("message", answer.reason_phrase))
            raise ApiError(answer.status_code, message, body)
        return body


def _task(raw: Mapping[str, Any]) -> TaskStatus:
    left = raw.get("estimated_time")
    seconds = left["hours"] * 3600 + left["minutes"] * 60 + left["seconds"] if left else None
    return TaskStatus(
        index=raw["task_id"],
        state=raw["task_state"],
        requested=raw["requested_primaries"],
        simulated=raw["simulated_primaries"],
        seconds_left=seconds,
    )
