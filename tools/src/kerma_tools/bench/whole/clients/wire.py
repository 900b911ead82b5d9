"""A lean HTTP client: it measures the server, not itself.

httpx takes a millisecond of its own for a request, as much as the requests measured here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import orjson

from kerma_tools.bench.platform import Platform

SPARE = 1 << 20


class Wire:
    """One connection that stays open, for requests of the platform's user: GET, or POST of ``body``."""

    def __init__(self, found: Platform, path: str, body: Mapping[str, Any] | None = None) -> None:
        self._address = urlsplit(found.running.url)
        token = found.client.cookies["access_token"]
        method, content = ("GET", b"") if body is None else ("POST", orjson.dumps(body))
        lines = (
            f"{method} {path} HTTP/1.1",
            f"Host: {self._address.netloc}",
            f"Cookie: access_token={token}",
            f"Content-Length: {len(content)}",
        )
        self._request = ("\r\n".join(lines) + "\r\n\r\n").encode() + content

    async def send(self, times: int) -> list[float]:
        """Send requests one after another; return the milliseconds of each.

        Raises RuntimeError for an answer that is not a success.
        """
        host, port = self._address.hostname, self._address.port
        reader, writer = await asyncio.open_connection(host, port, limit=SPARE)
        found = []
        try:
            for _ in range(times):
                began = perf_counter()
                writer.write(self._request)
                await _answer(reader)
                found.append(1e3 * (perf_counter() - began))
        finally:
            writer.close()
        return found


async def _answer(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 2"):
        raise RuntimeError(head.partition(b"\r\n")[0].decode())
    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length))


def get(found: Platform, path: str, times: int) -> list[float]:
    """Return the milliseconds of each of ``times`` requests over one connection."""
    return asyncio.run(Wire(found, path).send(times))


def direct(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of ``POST /jobs/direct`` for a project that ``POST /v1/jobs`` takes."""
    names = {"engine": "sim_type", "tasks": "ntasks", "project": "input_json"}
    return {"input_type": "editor", **{names.get(key, key): job[key] for key in job}}


def post(found: Platform, path: str, body: Mapping[str, Any], times: int) -> list[float]:
    """Return the milliseconds of each of ``times`` requests with a JSON body."""
    return asyncio.run(Wire(found, path, body).send(times))


def get_in_turns(
    found: Platform, paths: Sequence[str], turns: int, times: int
) -> list[list[float]]:
    """Return the milliseconds per path, measured in turns, so that all see the same machine."""

    async def measure() -> list[list[float]]:
        results: list[list[float]] = [[] for _ in paths]
        for _ in range(turns):
            for path, result in zip(paths, results, strict=True):
                result += await Wire(found, path).send(times)
        return results

    return asyncio.run(measure())


def flood(found: Platform, path: str, clients: int, each: int) -> tuple[float, list[float]]:
    """Send ``each`` requests from every client at once; return answers per second and all times."""

    async def measure() -> tuple[float, list[float]]:
        began = perf_counter()
        every = await asyncio.gather(*(Wire(found, path).send(each) for _ in range(clients)))
        took = perf_counter() - began
        times = [one for times in every for one in times]
        return len(times) / took, times

    return asyncio.run(measure())
