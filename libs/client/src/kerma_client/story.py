"""Telling the story of a job from the log itself."""

from __future__ import annotations

import sys

import orjson

from kerma_client.client import ApiError
from kerma_common.admin.story import lines, story
from kerma_common.contracts.cloudevents import to_cloudevent
from kerma_common.eventlog.jetstream import JetStreamLog
from kerma_common.nats import connection
from kerma_common.settings import NatsSettings, load


async def tell(job_id: str, *, as_json: bool) -> None:
    """Print every event of a job, causes before effects. Raises ApiError when there is none."""
    settings = load(NatsSettings)
    url = settings.url.get_secret_value()
    async with connection(url, name="story", credentials=settings.credentials) as client:
        told = await story(JetStreamLog(client), job_id)
    if not told:
        raise ApiError(404, f"nothing is recorded of a job {job_id}", {})
    shown = lines(told)
    if as_json:
        shown = [orjson.dumps(to_cloudevent(t.recorded, t.event)).decode() for t in told]
    sys.stdout.write("\n".join(shown) + "\n")
