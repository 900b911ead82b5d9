"""``POST /tasks/bulk``: reports on many tasks of a job in one body, up to all of the largest job.

Entries are taken or refused one by one. The credential is in the body: of a large one, the key is read
from the beginning, and before the rest arrives it is verified and the job asked whether it takes
reports. A job has one such body read at a time.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from weakref import WeakValueDictionary

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from kerma_common.errors import WRONG_DATA, InvalidRequest, Unavailable, shortened
from kerma_common.http.answers import answer
from kerma_common.http.body.heads import identity_of
from kerma_common.http.body.json_body import LARGE, parse
from kerma_common.http.body.limits import Body, takes
from kerma_common.http.body.reading import Arriving
from kerma_common.http.body.slices import parse_in_slices
from kerma_common.http.policy import public
from kerma_common.http.refusals.statuses import answers, envelope
from kerma_common.security.update_keys import UpdateKeys, Verb
from kerma_jobs.api import report_shapes
from kerma_jobs.api.report_fields import entries, exactly, refused, task_index, task_update
from kerma_jobs.app.reports import Reports, TaskUpdate
from kerma_jobs.app.submission import MAX_TASKS

KEYS = frozenset({"simulation_id", "update_key", "tasks"})
ENTRY_KEYS = frozenset({"task_id", "update_dict"})
NO_SUCH_TASK = "The simulation has no such task."
MOST_BYTES = 8192 + 320 * MAX_TASKS
"""Of a body: an entry in which every field is as long as it can be takes 257 bytes."""
MOST_VALUES = 32 * MAX_TASKS
MOST_NAMED = 100
"""Reasons of refusals in an answer, which also says how many entries were refused."""
MOST_PLACE = 200
AT_A_TIME = 100
"""Entries that are read before other requests get a turn, about 1 ms."""
READ_AT_ONCE = 2
"""Large bodies that a process has in memory as objects."""
MOST_WAITING = 4
"""Large bodies of a job, the one that is read included."""
WAIT_SECONDS = 30.0
BUSY = "Other large reports are being read; please try again"
_SHOWN = envelope("Tasks updated", refused_entries=1, refused={"tasks.3.task_id": [NO_SUCH_TASK]})


def add_bulk(api: APIRouter, reports: Reports, keys: UpdateKeys) -> None:
    """Add ``POST /tasks/bulk``."""
    bulk = BulkReports(reports, keys)

    @api.post("/tasks/bulk")
    @takes(Body.WHOLE, MOST_BYTES)
    @public()
    @answers(202, 409, 413, takes=report_shapes.TASKS, shows=_SHOWN)
    async def tasks(request: Request) -> Response:
        body = Arriving(request.stream(), MOST_BYTES)
        return await bulk.take(body, request.app.state.settings.json_depth)


@dataclass(slots=True)
class BulkReports:
    """Reads bodies of many reports and has them carried out."""

    reports: Reports
    keys: UpdateKeys
    _reading: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READ_AT_ONCE))
    _locks: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    _of_jobs: Counter[str] = field(default_factory=Counter)

    async def take(self, body: Arriving, depth: int) -> Response:
        """Carry out a body; return which of its entries were refused. Raises InvalidRequest."""
        first = await body.beginning(LARGE)
        if len(first) <= LARGE:
            return await self._carry_out(parse(first, depth))
        number, text = await identity_of(first)
        key = self.keys.verify(text, number, Verb.TASKS)
        await self.reports.admit(key)
        whole = await body.whole()
        async with self._turn(key.job_id):
            return await self._carry_out(await parse_in_slices(whole, depth, MOST_VALUES, _tasks))

    @asynccontextmanager
    async def _turn(self, job: str) -> AsyncGenerator[None, None]:
        """Wait until a large body of a job may be read. Raises Unavailable."""
        if self._of_jobs[job] >= MOST_WAITING:
            raise Unavailable(BUSY)
        self._of_jobs[job] += 1
        try:
            async with AsyncExitStack() as turn:
                try:
                    async with asyncio.timeout(WAIT_SECONDS):
                        await turn.enter_async_context(self._locks.setdefault(job, asyncio.Lock()))
                        await turn.enter_async_context(self._reading)
                except TimeoutError:
                    raise Unavailable(BUSY) from None
                yield
        finally:
            self._of_jobs[job] -= 1
            if not self._of_jobs[job]:
                del self._of_jobs[job]

    async def _carry_out(self, body: Mapping[str, Any]) -> Response:
        tasks = _tasks(body)
        key = self.keys.verify(body["update_key"], body["simulation_id"], Verb.TASKS)
        refusals = _Refusals()
        updates: list[TaskUpdate] = []
        places: list[int] = []
        for number, entry in enumerate(tasks):
            if number % AT_A_TIME == AT_A_TIME - 1:
                await asyncio.sleep(0)
            try:
                updates.append(_update(entry, f"tasks.{number}"))
            except InvalidRequest as wrong:
                refusals.add(wrong)
            else:
                places.append(number)
        if not updates:
            await self.reports.admit(key)
        if refusals.entries and not updates:
            raise InvalidRequest(WRONG_DATA, refusals.reasons)
        known = await self.reports.tasks(key, updates)
        for number, exists in zip(places, known, strict=True):
            if not exists:
                refusals.add(refused(f"tasks.{number}.task_id", NO_SUCH_TASK))
        return answer("Tasks updated", 202, **refusals.shown)


@dataclass(slots=True)
class _Refusals:
    """Entries that were refused, and the first reasons."""

    entries: int = 0
    reasons: dict[str, list[str]] = field(default_factory=dict)

    def add(self, wrong: InvalidRequest) -> None:
        """Count an entry."""
        self.entries += 1
        for place, reasons in islice(wrong.fields.items(), MOST_NAMED - len(self.reasons)):
            self.reasons[shortened(place, MOST_PLACE)] = list(reasons)

    @property
    def shown(self) -> dict[str, Any]:
        """What an answer says, nothing if every entry was taken."""
        return {"refused_entries": self.entries, "refused": self.reasons} if self.entries else {}


def _tasks(body: Mapping[str, Any]) -> list[Any]:
    """Return the entries of a body. Raises InvalidRequest for other members, or too many entries."""
    return entries(exactly(body, KEYS)["tasks"], "tasks")


def _update(entry: object, place: str) -> TaskUpdate:
    found = exactly(entry, ENTRY_KEYS, place)
    index = task_index(found["task_id"], f"{place}.task_id")
    return task_update(index, found["update_dict"], f"{place}.update_dict")
