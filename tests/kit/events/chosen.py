"""Jobs whose ids, and therefore seeds, are chosen by the test, and their events in the log."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from kerma_common.admin.story import StoryEvent, story
from kerma_common.blobs.store import open_blobs
from kerma_common.commands.bus import CommandBus
from kerma_common.contracts.ids import job_id
from kerma_common.eventlog.jetstream import JetStreamLog
from kerma_common.http.idempotency import RequestKey
from kerma_common.nats import connection
from kerma_common.settings import BlobSettings
from kerma_engines.adapter.packing import encode_inputs
from kerma_engines.adapter.port import InputSet
from kerma_engines.catalogue.registry import engine
from kerma_jobs.adapters.logged_clusters import LoggedClusters
from kerma_jobs.app.ports import Claim, Converted
from kerma_jobs.app.submission import Submitter, parse_submission
from kerma_jobs.domain.offers import Offer
from kerma_jobs.domain.quotas import Quotas

MOMENT = datetime(2026, 1, 1, 12, tzinfo=UTC)


class DirectConverter:
    """Converter in this process; the bodies of these tests are well-formed."""

    async def from_project(
        self, name: str, project: bytes, *, user: str, stands_in_for: str = ""
    ) -> Converted:
        return _converted(engine(name).convert(orjson.loads(project)), stands_in_for)

    async def from_files(
        self, name: str, files: bytes, *, user: str, stands_in_for: str = ""
    ) -> Converted:
        return _converted(engine(name).accept_files(orjson.loads(files)), stands_in_for)


def _converted(inputs: InputSet, stands_in_for: str) -> Converted:
    found = replace(inputs, stands_in_for=stands_in_for)
    return Converted(found.engine, found.primaries, encode_inputs(found), bins=1)


class Unlimited:
    """Admission without limits."""

    def reserved(
        self,
        job_id: str,
        owner: str,
        quotas: Quotas,
        *,
        tasks: int,
        size: int,
        again: bool = False,
    ) -> AbstractAsyncContextManager[None]:
        return nullcontext()


class Unclaimed:
    """Keys that nobody has used before."""

    async def claim(self, owner: str, key: RequestKey, job_id: str) -> Claim:
        return Claim(job_id, key.digest)


@dataclass(frozen=True)
class Offered:
    """Offers of whatever a job asks for."""

    engine: str

    async def offers(self) -> Sequence[Offer]:
        return [Offer({self.engine: ""}, {})]


@dataclass(frozen=True)
class Place:
    """The log and the blobs of a running Kerma."""

    nats_url: str
    blob_url: str


def chosen_id(number: int) -> str:
    """Return the id of the ``number``-th job; the same in every run, so seeds are too."""
    return job_id(MOMENT, UUID(int=number), "DIRECT")


def submit_chosen(
    place: Place,
    owner: str,
    number: int,
    body: Mapping[str, Any],
    converter: Any = None,
) -> str:
    """Submit as the jobs service does, with a chosen id; a repetition changes nothing."""

    async def run() -> str:
        async with connection(place.nats_url, name="jobs") as client:
            submitter = Submitter(
                CommandBus(JetStreamLog(client), "jobs"),
                open_blobs(BlobSettings(url=place.blob_url)),
                converter or DirectConverter(),
                lambda: MOMENT,
                lambda: UUID(int=number),
                [str(body["sim_type"])],
                Offered(str(body["sim_type"])),
                Unlimited(),
                Unclaimed(),
                LoggedClusters(JetStreamLog(client)),
            )
            submission = parse_submission(body)
            job, _ = await submitter.submit(submission, owner=owner, request_id=f"chosen-{number}")
            return job

    return asyncio.run(run())


def told(place: Place, job: str) -> tuple[StoryEvent, ...]:
    """Return every event of a job, causes before effects."""

    async def run() -> tuple[StoryEvent, ...]:
        async with connection(place.nats_url, name="test") as client:
            return await story(JetStreamLog(client), job)

    return asyncio.run(run())


def successes(place: Place, job: str) -> Counter[int]:
    """Return how often each task succeeded, according to the log."""
    events = [t.event for t in told(place, job)]
    return Counter(event.data["index"] for event in events if event.type == "TaskSucceeded")
