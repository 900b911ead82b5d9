"""The client of the native interface for asynchronous programs.

``client.py`` is made from this module by ``./kerma generate``: the same methods, not to be awaited.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Any, Self, TypeVar

import httpx

from kerma_client.api import calls, models
from kerma_client.api.calls import Call
from kerma_client.api.connection import NOT_TEXT, TIMEOUT, bearer, unreachable
from kerma_client.api.exchange import REFRESH_TOKEN, Answer, Pause, Retries, Send, exchange
from kerma_client.api.pausing import Deadline, asleep, looks
from kerma_client.api.updates import (
    HEARTBEAT_SECONDS,
    NO_STREAM,
    Event,
    EventReader,
    JobChanged,
    Patience,
    Ready,
)
from kerma_client.errors import UNAVAILABLE, ApiError, JobTimeoutError, UnreachableError

T = TypeVar("T")
Followed = TypeVar("Followed", models.Job, models.JobStatus)


class AsyncKermaClient:
    """A connection to one Kerma; use as a context manager.

    All methods raise ApiError, and UnreachableError if there is no answer.
    """

    def __init__(
        self,
        base_url: str,
        timeout: float = TIMEOUT,
        transport: httpx.AsyncBaseTransport | None = None,
        token: str | None = None,
        retries: Retries | None = None,
    ) -> None:
        """``token`` is an API token; without one, log in."""
        self._http = httpx.AsyncClient(
            base_url=base_url, timeout=timeout, transport=transport, headers=bearer(token)
        )
        self._retries = retries or Retries()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    @property
    def cookies(self) -> Mapping[str, str]:
        """The tokens of the session, if one is open."""
        return dict(self._http.cookies)

    async def login(self, username: str, password: str) -> None:
        """Open a session; tokens stay in this client's cookies."""
        await self._do(calls.login(username, password))

    async def logout(self) -> None:
        """End the session of this client, in every service; an API token stays as it is."""
        await self._do(calls.logout())
        self._http.cookies.clear()

    async def register(self, username: str, password: str) -> None:
        """Create an account."""
        await self._do(calls.register(username, password))

    async def change_password(self, old: str, new: str) -> None:
        """Replace the user's password; all other sessions of the user end."""
        await self._do(calls.change_password(old, new))

    async def create_token(self, label: str, days: int) -> models.NewToken:
        """Create an API token; ``token`` in the answer is shown this once only."""
        return await self._do(calls.create_token(label, days))

    async def tokens(self) -> tuple[models.Token, ...]:
        """Return the user's API tokens, without their secrets."""
        found = await self._do(calls.tokens())
        return found.items

    async def revoke_token(self, token_id: str) -> None:
        """Make an API token void."""
        await self._do(calls.revoke_token(token_id))

    async def sessions(self) -> tuple[models.Session, ...]:
        """Return the user's sessions, the one used last first."""
        found = await self._do(calls.sessions())
        return found.items

    async def end_session(self, session_id: str) -> None:
        """End a session of the user."""
        await self._do(calls.end_session(session_id))

    async def end_other_sessions(self) -> None:
        """End all sessions of the user but that of this client."""
        await self._do(calls.end_other_sessions())

    async def submit(self, job: Mapping[str, Any], *, key: str | None = None) -> str:
        """Submit a job, the body of ``POST /v1/jobs``; return its id.

        Give a ``key`` of your own to repeat the submission from another process.
        """
        return await self._do(calls.submit(job, key))

    async def job(self, job_id: str) -> models.Job:
        """Return a job."""
        return await self._do(calls.job(job_id))

    async def jobs_page(
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
        return await self._do(
            calls.jobs(
                state=state, engine=engine, text=text, cursor=cursor, limit=limit, total=total
            )
        )

    async def jobs(
        self, *, state: str | None = None, engine: str | None = None, text: str | None = None
    ) -> AsyncIterator[models.JobEntry]:
        """Yield the user's jobs, newest first, page by page."""
        where: str | None = None
        while True:
            page = await self.jobs_page(
                state=state, engine=engine, text=text, cursor=where, limit=200
            )
            for item in page.items:
                yield item
            if (where := page.next) is None:
                return

    async def tasks(self, job_id: str) -> AsyncIterator[models.TaskStatus]:
        """Yield the tasks of a job, page by page."""
        where: str | None = None
        while True:
            page = await self._do(calls.tasks(job_id, where, 1000))
            for item in page.items:
                yield item
            if (where := page.next) is None:
                return

    async def task(self, job_id: str, number: int) -> models.TaskStatus:
        """Return one task of a job."""
        return await self._do(calls.task(job_id, number))

    async def status(self, job_id: str) -> models.JobStatus:
        """Return the state of a job and all its tasks, from one snapshot."""
        return await self._do(calls.status(job_id))

    async def wait(
        self,
        job_id: str,
        *,
        timeout: float | None = None,
        changed: Callable[[models.Job], None] | None = None,
    ) -> models.Job:
        """Return the job when it has ended; call ``changed`` for each other state it has before.

        Live updates tell when to look. Raises JobTimeoutError.
        """
        job: models.Job | None = None
        async with aclosing(self._looks(calls.job(job_id), job_id, timeout)) as found:
            async for job_now in found:
                if changed is not None and (job is None or job.state != job_now.state):
                    changed(job_now)
                job = job_now
                if job.over:
                    return job
        state = "not known yet" if job is None else f"{job.state}: {job.message}"
        raise JobTimeoutError(f"{job_id} is {state}")

    async def follow(
        self, job_id: str, *, timeout: float | None = None
    ) -> AsyncGenerator[models.JobStatus]:
        """Yield a job with all its tasks whenever it has changed, until it has ended."""
        looked = self._looks(calls.status(job_id), job_id, timeout, progress=True)
        async with aclosing(looked) as found:
            async for status in found:
                yield status
                if status.over:
                    return

    async def events(self, job_id: str | None = None, *, after: str = "") -> AsyncGenerator[Event]:
        """Yield live updates of a job, or of all the user's jobs, for ever.

        First comes what is there now, or what happened after a ``position``, then ``Ready``. A stream
        that breaks is resumed where it was.
        """
        async with aclosing(self._told(job_id, after)) as told:
            async for event in told:
                if event is not None:
                    yield event

    async def inputs(self, job_id: str) -> models.Inputs:
        """Return the input of a job."""
        return await self._do(calls.inputs(job_id))

    async def cancel(self, job_id: str) -> str:
        """Stop a job; return its state."""
        return await self._do(calls.cancel(job_id))

    async def delete(self, job_id: str) -> None:
        """Delete a job that has ended."""
        await self._do(calls.delete(job_id))

    async def estimators(self, job_id: str) -> tuple[models.EstimatorEntry, ...]:
        """Return which results a job has, without values."""
        found = await self._do(calls.estimators(job_id))
        return found.items

    async def estimator(
        self, job_id: str, number: int, pages: str | None = None
    ) -> models.Estimator:
        """Return an estimator with its pages, or with those of numbers such as ``0-1,3``."""
        return await self._do(calls.estimator(job_id, number, pages))

    async def page(self, job_id: str, number: int, page_number: int) -> models.Page:
        """Return one page of an estimator."""
        return await self._do(calls.page(job_id, number, page_number))

    async def results(self, job_id: str) -> list[models.Estimator]:
        """Return all estimators with all pages; none before the job has completed."""
        return [
            await self.estimator(job_id, found.number) for found in await self.estimators(job_id)
        ]

    async def logs(self, job_id: str) -> dict[str, str]:
        """Return log texts by name; empty when no task left one."""
        return await self._do(calls.logs(job_id))

    async def engines(self) -> tuple[models.Engine, ...]:
        """Return the engines that Kerma knows, and what workers offer."""
        found = await self._do(calls.engines())
        return found.items

    async def clusters(self) -> tuple[models.Cluster, ...]:
        """Return the clusters that take jobs."""
        found = await self._do(calls.clusters())
        return found.items

    async def me(self) -> models.User:
        """Return the user's own account."""
        return await self._do(calls.me())

    async def users(self) -> AsyncIterator[models.User]:
        """Yield all users, page by page; for operators."""
        where: str | None = None
        while True:
            page = await self._do(calls.users(where, 1000))
            for item in page.items:
                yield item
            if (where := page.next) is None:
                return

    async def create_user(self, username: str, password: str | None = None) -> models.NewUser:
        """Create a user; without a password, one is made up and in the answer; for operators."""
        return await self._do(calls.create_user(username, password))

    async def remove_user(self, user_id: str) -> None:
        """Remove a user with sessions, tokens and name; the jobs are deleted soon after."""
        await self._do(calls.remove_user(user_id))

    async def disable_user(self, user_id: str) -> models.User:
        """Refuse every token and login of a user."""
        return await self._do(calls.switch_user(user_id, "disable"))

    async def enable_user(self, user_id: str) -> models.User:
        """Let a user log in again."""
        return await self._do(calls.switch_user(user_id, "enable"))

    async def grant_role(self, user_id: str, name: str) -> models.User:
        """Give a role to a user."""
        return await self._do(calls.role(user_id, name, granted=True))

    async def revoke_role(self, user_id: str, name: str) -> models.User:
        """Take a role from a user."""
        return await self._do(calls.role(user_id, name, granted=False))

    async def _looks(
        self, call: Call[Followed], job_id: str, timeout: float | None, *, progress: bool = False
    ) -> AsyncGenerator[Followed]:
        """Yield the answer to a call whenever the job has another state, or has made progress."""
        known, deadline = "", Deadline(timeout)
        async with aclosing(self._moments(job_id, deadline)) as moments:
            async for event in moments:
                if isinstance(event, Ready):
                    continue
                if isinstance(event, JobChanged) and event.state == known and not progress:
                    continue
                found = await self._look(call, deadline)
                if found is not None:
                    known = found.state
                    yield found

    async def _look(self, call: Call[Followed], deadline: Deadline) -> Followed | None:
        """Return the answer, asked for again while none comes; None once the time is over.

        Nothing may say later that it is worth a look: the state may have been the last one.
        """
        patience = Patience(self._retries.patience)
        while True:
            try:
                return await self._do(call)
            except (UnreachableError, ApiError) as error:
                patience.failed(error)
            if deadline.within(patience.pause):
                return None
            await asleep(patience.pause)

    async def _moments(self, job_id: str, deadline: Deadline) -> AsyncGenerator[Event | None]:
        """Yield when a job may have changed: now, when live updates say so, or after pauses."""
        yield None
        # a stream only shows between two heartbeats that the time is over
        if not deadline.within(HEARTBEAT_SECONDS):
            try:
                async with aclosing(self._told(job_id, "")) as told:
                    async for event in told:
                        if event is not None:
                            yield event
                        if deadline.within(HEARTBEAT_SECONDS):
                            break
            except (ApiError, UnreachableError):
                pass  # no live updates; if it is about the job, whoever looks hears of it
        for pause in looks(deadline.left):
            await asleep(pause)
            yield None

    async def _told(self, job_id: str | None, position: str) -> AsyncGenerator[Event | None]:
        """Yield what a stream tells, None for heartbeats and breaks."""
        patience = Patience(self._retries.patience)
        while True:
            try:
                answer = await self._do(calls.events(job_id, position))
                try:
                    reader, empty = EventReader.of(answer, position), True
                    async for chunk in answer.aiter_bytes():
                        for event in reader.feed(chunk):
                            patience.answered()
                            empty = False
                            position = position if event is None else event.position
                            yield event
                finally:
                    await answer.aclose()
                if empty:  # a server that works says at least that it is ready
                    patience.failed(ApiError(UNAVAILABLE, NO_STREAM, {}))
            except httpx.TransportError as error:
                patience.failed(unreachable(self._http.base_url, error))
            except (UnreachableError, ApiError) as error:
                patience.failed(error)
            yield None
            await asleep(patience.pause)

    async def _do(self, call: Call[T]) -> T:
        steps = exchange(call, self._retries, renewable=REFRESH_TOKEN in self._http.cookies)
        answer: Answer = None
        try:
            while True:
                step = steps.send(answer)
                answer = await self._take(step)
        except StopIteration as done:
            found: T = done.value
            return found
        except UnreachableError as error:
            raise unreachable(self._http.base_url, error) from error

    async def _take(self, step: Send | Pause) -> Answer:
        if isinstance(step, Pause):
            await asleep(step.seconds)
            return None
        try:
            request = self._http.build_request(step.method, step.path, **step.how)
            answer = await self._http.send(request, stream=step.lasting)
            if step.lasting and not answer.is_success:
                await answer.aread()
        except UnicodeEncodeError:  # arguments of a command line that are not valid text
            raise ApiError(400, NOT_TEXT, {}) from None
        except httpx.TransportError as error:
            return error
        return answer
