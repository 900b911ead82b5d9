"""Requests to the JetStream API: JSON in, JSON out, errors by their meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nats.errors
import orjson

from kerma_common.errors import Unavailable

if TYPE_CHECKING:
    from nats.aio.client import Client

NO_MESSAGE_FOUND = 10037
STREAM_NOT_FOUND = 10059
WRONG_LAST_SEQUENCE = frozenset({10071, 10164})
"""Unexpected last sequence; clusters use the second code for a write still in flight."""
DUPLICATE_IN_PROCESS = 10158
"""A cluster is storing a message with this id right now."""
STREAM_FULL = 10077
NO_PLACE = 10005
"""The cluster has too few members for the replicas now, as while one of them starts."""


class ApiError(Exception):
    """The server understood the request and refused it; ``code`` names the reason."""

    def __init__(self, code: int, description: str) -> None:
        self.code = code
        super().__init__(f"{description} ({code})")


async def call(
    nc: Client, subject: str, request: object = None, *, timeout: float = 5.0
) -> dict[str, Any]:
    """Return the reply of ``$JS.API.<subject>``. Raises ApiError, or Unavailable without a reply."""
    if not nc.is_connected:
        raise Unavailable("not connected to the event log")
    body = b"" if request is None else orjson.dumps(request)
    try:
        message = await nc.request(f"$JS.API.{subject}", body, timeout=timeout)
    except nats.errors.Error as error:
        raise Unavailable("the event log does not answer") from error
    answer: dict[str, Any] = orjson.loads(message.data)
    if error_body := answer.get("error"):
        if error_body["code"] == 503:
            raise Unavailable(f"the event log is not ready: {error_body['description']}")
        raise ApiError(error_body.get("err_code", 0), error_body["description"])
    return answer
