"""FastStream on the connection that the process has already: requests and signals only.

The log is never consumed through it: its delivery is concurrent and its default acknowledgement
would lose events.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from faststream import AckPolicy, ExceptionMiddleware
from faststream.nats import NatsBroker

from kerma_common.bus.rpc import failure_of

if TYPE_CHECKING:
    from nats.aio.client import Client


class EdgeBroker(NatsBroker):
    """A broker that borrows its connection: starting and stopping leave it open."""

    def __init__(self, client: Client) -> None:
        faults = ExceptionMiddleware()
        faults.add_handler(Exception, publish=True)(failure_of)
        super().__init__(
            ack_policy=AckPolicy.MANUAL,
            logger=None,
            middlewares=(faults,),
            specification_url="nats://nats:4222",
        )
        self._borrowed = client

    async def _connect(self) -> Client:
        self.config.connect(self._borrowed)
        return self._borrowed

    async def stop(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None:
        """End the subscriptions; the connection belongs to the process."""
        self._connection = None
        await super().stop(exc_type, exc_val, exc_tb)
