"""Progress of running tasks, told by workers and kept in memory.

In: TaskProgress on the telemetry stream. Nothing here is recorded: every replica starts from the
stream's last value per task and follows it, so a status answer costs no write anywhere.
"""

from __future__ import annotations

from collections import OrderedDict

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from kerma_common.bus.decoding import decode
from kerma_common.contracts.progress import ALL_PROGRESS, TaskProgress, progress_subject
from kerma_common.poison import Malformed, Source, put_aside, sequence_of

TASKS_KEPT = 100_000


class TelemetryProgress:
    """Last progress per task; only grows within a lease."""

    def __init__(self) -> None:
        self._last: OrderedDict[tuple[str, int], TaskProgress] = OrderedDict()

    def of(self, job_id: str, index: int, lease: int) -> tuple[int, float | None] | None:
        """Primaries simulated under this lease and seconds left, if told."""
        told = self._last.get((job_id, index))
        if told is None or told.lease != lease:
            return None
        return told.primaries, told.eta_seconds

    def tell(self, told: TaskProgress) -> None:
        """Take in one report; late and out-of-order ones change nothing."""
        key = (told.job_id, told.index)
        known = self._last.get(key)
        if known is not None and (known.lease, known.primaries) > (told.lease, told.primaries):
            return
        self._last[key] = told
        self._last.move_to_end(key)
        if len(self._last) > TASKS_KEPT:
            self._last.popitem(last=False)

    async def follow(self, nats: Client) -> None:
        """Take in what is known and what comes, for ever."""
        subscription = await nats.jetstream().subscribe(
            ALL_PROGRESS,
            stream="TELEMETRY",
            ordered_consumer=True,
            config=ConsumerConfig(
                deliver_policy=DeliverPolicy.LAST_PER_SUBJECT, ack_policy=AckPolicy.NONE
            ),
        )
        async for message in subscription.messages:
            try:
                self.tell(_decoded(message))
            except Malformed as error:
                what = (Source.TELEMETRY, message.subject, message.data, str(error))
                await put_aside(nats, *what, seq=sequence_of(message))


def _decoded(message: Msg) -> TaskProgress:
    told = decode(TaskProgress, message.data)
    if message.subject != progress_subject(told.job_id, told.index):
        raise Malformed("progress of another task than the subject's")
    return told
