"""Requests to the addresses of the settings: bounded in time and size, without redirects."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

SECONDS = 3.0
"""For a whole answer; a login may need two, and a page waits ten seconds."""


class NoAnswer(Exception):  # noqa: N818 - says what happened
    """The server does not answer, or not with what was asked for."""


@dataclass(frozen=True, slots=True)
class WebClient:
    """Fetches JSON objects, each over a connection of its own: they are rarely needed."""

    seconds: float = field(default_factory=lambda: SECONDS)
    _tls: ssl.SSLContext = field(default_factory=httpx.create_ssl_context, init=False)

    async def json(
        self, url: str, most_bytes: int, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Return the JSON object at an address. Raises NoAnswer, whose text holds no content."""
        try:
            async with asyncio.timeout(self.seconds):
                body = await self._body(url, most_bytes, headers or {})
        except (httpx.HTTPError, TimeoutError, OSError) as error:
            raise NoAnswer(type(error).__name__) from error
        try:
            found = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise NoAnswer("the answer is no JSON") from None
        if not isinstance(found, dict):
            raise NoAnswer("the answer is no JSON object")
        return found

    async def _body(self, url: str, most_bytes: int, headers: dict[str, str]) -> bytes:
        body = b""
        plain = {"Accept": "application/json", "Accept-Encoding": "identity", **headers}
        async with (
            httpx.AsyncClient(verify=self._tls, follow_redirects=False) as client,
            client.stream("GET", url, headers=plain) as answer,
        ):
            if answer.status_code != 200:
                raise NoAnswer(f"status {answer.status_code}")
            async for part in answer.aiter_raw():  # nothing is unpacked
                body += part
                if len(body) > most_bytes:
                    raise NoAnswer(f"the answer is larger than {most_bytes} bytes")
        return body
