"""The history of a job, read from the log."""

from __future__ import annotations

import orjson

from kerma_common.admin.story import lines, story
from kerma_common.contracts.cloudevents import to_cloudevent
from kerma_common.errors import NotFound
from kerma_common.eventlog.jetstream import JetStreamLog
from kerma_common.nats import connection
from kerma_common.settings import NatsSettings, load


async def tell(job_id: str, *, as_json: bool) -> list[str]:
    """Return a line per event of a job, causes before effects. Raises NotFound."""
    settings = load(NatsSettings)
    url = settings.url.get_secret_value()
    async with connection(url, name="story", credentials=settings.credentials) as client:
        events = await story(JetStreamLog(client), job_id)
    if not events:
        raise NotFound(f"nothing is recorded of a job {job_id}")
    if as_json:
        return [orjson.dumps(to_cloudevent(t.recorded, t.event)).decode() for t in events]
    return list(lines(events))
