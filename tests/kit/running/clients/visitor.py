"""A user of a running Kerma who waits out short outages of services and workers."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import orjson

from kit.programs.family import PATIENCE, eventually

TERMINAL = frozenset({"COMPLETED", "FAILED", "CANCELED"})
JOB_SECONDS = 240.0
NAME = {"username": "visitor", "password": "long enough for a test"}


class Visitor:
    """An account and its session."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=PATIENCE)

    def close(self) -> None:
        self.http.close()

    def enter(self) -> Visitor:
        """Register if necessary, and log in."""
        registered = self._asked("PUT", "/auth/register")
        assert registered.status_code in {201, 403}, registered.text
        login = self._asked("POST", "/auth/login")
        assert login.status_code == 202, login.text
        return self

    def _asked(self, method: str, path: str) -> httpx.Response:
        """Return the first answer that does not ask to retry later."""

        def answered() -> list[httpx.Response]:
            answer = self.http.request(method, path, json=NAME)
            return [] if answer.status_code == 503 else [answer]

        return eventually(answered, PATIENCE, f"an answer from {path}")[0]

    @property
    def user_id(self) -> str:
        """Return the user id in the access token."""
        token = next(c.value for c in self.http.cookies.jar if (c.value or "").count(".") == 2)
        payload = str(token).split(".")[1]
        subject: str = orjson.loads(base64.urlsafe_b64decode(payload + "=="))["sub"]
        return subject

    def submit(self, body: dict[str, Any]) -> str:
        answer = self.http.post("/jobs/direct", json={"wait_for_engine": True, **body})
        assert answer.status_code == 202, answer.text
        job_id: str = answer.json()["job_id"]
        return job_id

    def get(self, path: str, job: str) -> httpx.Response:
        return self.http.get(path, params={"job_id": job})

    def seen(self, path: str, job: str) -> httpx.Response | None:
        """Return the answer, or None while the service is away."""
        try:
            answer = self.get(path, job)
        except httpx.TransportError:
            return None
        assert answer.status_code in {200, 503}, answer.text
        return answer if answer.status_code == 200 else None

    def status(self, job: str) -> dict[str, Any]:
        """Return the job's status; who was told of the job never hears that there is none."""
        answer = eventually(lambda: self.seen("/jobs", job), PATIENCE, f"an answer about {job}")
        shown: dict[str, Any] = answer.json()
        return shown

    def until(self, job: str, *states: str, within: float = JOB_SECONDS) -> dict[str, Any]:
        """Wait until the job is in one of ``states``, or has ended in another one."""

        def reached() -> dict[str, Any] | None:
            shown = self.status(job)
            return shown if shown["job_state"] in TERMINAL | set(states) else None

        shown = eventually(reached, within, f"{job} in {states}")
        assert shown["job_state"] in states, shown
        return shown

    def results(self, job: str) -> bytes:
        """Return the body of the results; wait while their service is away."""
        return eventually(lambda: self.seen("/results", job), PATIENCE, f"results of {job}").content
