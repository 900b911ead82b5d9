"""The client of the native interface, for the command line and for scripts.

with KermaClient("http://127.0.0.1:8080", token=...) as client:
    job_id = client.submit({"engine": "geant4", "tasks": 4, "project": project})
    job = client.wait(job_id)
    for estimator in client.results(job_id):
        print(estimator.name, estimator.pages[0].values())
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self, TypeVar

import httpx

from kerma_client.api import calls, models
from kerma_client.api.calls import Call
from kerma_client.api.exchange import REFRESH_TOKEN, Answer, Pause, Retries, Send, exchange
from kerma_client.api.models import TERMINAL, JobStatus, TaskStatus
from kerma_client.api.waiting import looks
from kerma_client.errors import ApiError, JobTimeoutError, UnreachableError

__all__ = ["TERMINAL", "JobStatus", "KermaClient", "Retries", "TaskStatus"]

T = TypeVar("T")
NOT_TEXT = "what was asked for is not valid text"
TIMEOUT = 30.0


def bearer(token: str | None) -> dict[str, str]:
    """Return the header for an API token, none without one."""
    return {} if token is None else {"Authorization": f"Bearer {token}"}


class KermaClient:
    """A connection to one Kerma; use as a context manager.

    All methods raise ApiError, and UnreachableError if there is no answer.
    """

    def __init__(
        self,
        base_url: str,
        timeout: float = TIMEOUT,
        transport: httpx.BaseTransport | None = None,
        token: str | None = None,
        retries: Retries | None = None,
    ) -> None:
        """``token`` is an API token; without one, log in."""
        self._http = httpx.Client(
            base_url=base_url, timeout=timeout, transport=transport, headers=bearer(token)
        )
        self._retries = retries or Retries()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    @property
    def cookies(self) -> Mapping[str, str]:
        """The tokens of the session, if one is open."""
        return dict(self._http.cookies)

    def login(self, username: str, password: str) -> None:
        """Open a session; tokens stay in this client's cookies."""
        self._do(calls.login(username, password))

    def register(self, username: str, password: str) -> None:
        """Create an account."""
        self._do(calls.register(username, password))

    def change_password(self, old: str, new: str) -> None:
        """Replace the user's password; all other sessions of the user end."""
        self._do(calls.change_password(old, new))

    def create_token(self, label: str, days: int) -> dict[str, str]:
        """Create an API token; ``token`` in the answer is shown this once only."""
        return self._do(calls.create_token(label, days))

    def tokens(self) -> list[dict[str, Any]]:
        """Return the user's API tokens, without their secrets."""
        return self._do(calls.tokens())

    def revoke_token(self, token_id: str) -> None:
        """Make an API token void."""
        self._do(calls.revoke_token(token_id))

    def sessions(self) -> list[dict[str, Any]]:
        """Return the user's sessions, the one used last first."""
        return self._do(calls.sessions())

    def end_session(self, session_id: str) -> None:
        """End a session of the user."""
        self._do(calls.end_session(session_id))

    def end_other_sessions(self) -> None:
        """End all sessions of the user but that of this client."""
        self._do(calls.end_other_sessions())

    def submit(self, job: Mapping[str, Any], *, key: str | None = None) -> str:
        """Submit a job, the body of ``POST /v1/jobs``; return its id.

        Give a ``key`` of your own to repeat the submission from another process.
        """
        return self._do(calls.submit(job, key))

    def job(self, job_id: str) -> models.Job:
        """Return a job."""
        return self._do(calls.job(job_id))

    def jobs_page(
        self,
        *,
        state: str | None = None,
        engine: str | None = None,
        text: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
        total: bool = False,
    ) -> models.Listed[models.JobEntry]:
        """Return one page of the user's jobs, newest first."""
        return self._do(
            calls.jobs(
                state=state, engine=engine, text=text, cursor=cursor, limit=limit, total=total
            )
        )

    def jobs(
        self, *, state: str | None = None, engine: str | None = None, text: str | None = None
    ) -> Iterator[models.JobEntry]:
        """Yield the user's jobs, newest first, page by page."""
        where: str | None = None
        while True:
            page = self.jobs_page(state=state, engine=engine, text=text, cursor=where, limit=200)
            yield from page.items
            if (where := page.next) is None:
                return

    def tasks(self, job_id: str) -> Iterator[TaskStatus]:
        """Yield the tasks of a job, page by page."""
        where: str | None = None
        while True:
            page = self._do(calls.tasks(job_id, where, 1000))
            yield from page.items
            if (where := page.next) is None:
                return

    def status(self, job_id: str) -> JobStatus:
        """Return the state of a job and all its tasks, from one snapshot."""
        return self._do(calls.status(job_id))

    def wait(
        self,
        job_id: str,
        *,
        timeout: float | None = None,
        changed: Callable[[models.Job], None] | None = None,
    ) -> models.Job:
        """Return the job when it has ended; call ``changed`` for each other state it has before.

        Raises JobTimeoutError.
        """
        job, shown = self.job(job_id), ""
        for pause in looks(timeout):
            if job.state != shown and changed is not None:
                changed(job)
            shown = job.state
            if job.over:
                return job
            time.sleep(pause)
            job = self.job(job_id)
        if not job.over:
            raise JobTimeoutError(f"{job_id} is {job.state}: {job.message}")
        return job

    def inputs(self, job_id: str) -> models.Inputs:
        """Return the input of a job."""
        return self._do(calls.inputs(job_id))

    def cancel(self, job_id: str) -> str:
        """Stop a job; return its state."""
        return self._do(calls.cancel(job_id))

    def delete(self, job_id: str) -> None:
        """Delete a job that has ended."""
        self._do(calls.delete(job_id))

    def estimators(self, job_id: str) -> tuple[models.EstimatorEntry, ...]:
        """Return which results a job has, without values."""
        return self._do(calls.estimators(job_id)).items

    def estimator(self, job_id: str, number: int, pages: str | None = None) -> models.Estimator:
        """Return an estimator with its pages, or with those of numbers such as ``0-1,3``."""
        return self._do(calls.estimator(job_id, number, pages))

    def page(self, job_id: str, number: int, page_number: int) -> models.Page:
        """Return one page of an estimator."""
        return self._do(calls.page(job_id, number, page_number))

    def results(self, job_id: str) -> list[models.Estimator]:
        """Return all estimators with all pages; none before the job has completed."""
        return [self.estimator(job_id, found.number) for found in self.estimators(job_id)]

    def logs(self, job_id: str) -> dict[str, str]:
        """Return log texts by name; empty when no task left one."""
        return self._do(calls.logs(job_id))

    def engines(self) -> list[dict[str, Any]]:
        """Return the engines that Kerma knows, and what workers offer."""
        return self._do(calls.engines())

    def clusters(self) -> list[dict[str, Any]]:
        """Return the clusters that take jobs."""
        return self._do(calls.clusters())

    def me(self) -> models.User:
        """Return the user's own account."""
        return self._do(calls.me())

    def users(self) -> Iterator[models.User]:
        """Yield all users, page by page; for operators."""
        where: str | None = None
        while True:
            page = self._do(calls.users(where, 1000))
            yield from page.items
            if (where := page.next) is None:
                return

    def create_user(self, username: str, password: str | None = None) -> dict[str, str]:
        """Create a user; without a password, one is made up and in the answer; for operators."""
        return self._do(calls.create_user(username, password))

    def disable_user(self, user_id: str) -> models.User:
        """Refuse every token and login of a user."""
        return self._do(calls.switch_user(user_id, "disable"))

    def enable_user(self, user_id: str) -> models.User:
        """Let a user log in again."""
        return self._do(calls.switch_user(user_id, "enable"))

    def grant_role(self, user_id: str, name: str) -> models.User:
        """Give a role to a user."""
        return self._do(calls.role(user_id, name, granted=True))

    def revoke_role(self, user_id: str, name: str) -> models.User:
        """Take a role from a user."""
        return self._do(calls.role(user_id, name, granted=False))

    def _do(self, call: Call[T]) -> T:
        renewable = REFRESH_TOKEN in self._http.cookies
        steps = exchange(call, self._retries, renewable=renewable)
        answer: Answer = None
        try:
            while True:
                step = steps.send(answer)
                answer = self._take(step)
        except StopIteration as done:
            found: T = done.value
            return found
        except UnreachableError as error:
            raise unreachable(self._http.base_url, error) from error

    def _take(self, step: Send | Pause) -> Answer:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        try:
            return self._http.request(step.method, step.path, **step.how)
        except UnicodeEncodeError:  # arguments of a command line that are not valid text
            raise ApiError(400, NOT_TEXT, {}) from None
        except httpx.TransportError as error:
            return error


def unreachable(base_url: httpx.URL, error: UnreachableError) -> UnreachableError:
    """Return the error with the address that does not answer."""
    return UnreachableError(f"{base_url} does not answer: {error}")
