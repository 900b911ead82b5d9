"""Logs of attempts, as texts by name.

A log blob is a JSON object of texts by name, written by a worker. The names given here have no
underscores, which clients would mangle. Sizes are limited, and a cut text says where it was cut.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from kerma_common.errors import ContractViolation, NotFound
from kerma_common.precedence import give_way

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from kerma_common.blobs.store import BlobStore
    from kerma_results.read.queries import ResultQueries, TaskLog

HEAD = 64 * 1024
TAIL = 192 * 1024
"""Characters kept of a longer text; more of its end, where the errors are."""
TOTAL = 8 * 1024 * 1024
LARGEST_BLOB = 64 * 1024 * 1024
MOST_LOGS = 100
_UNSAFE = re.compile(r"[^A-Za-z0-9.]+")
_TEXT = rb'("[^"\\]*(?:\\.[^"\\]*)*")\s*'
_MEMBER = re.compile(rb"\s*([{,])\s*" + _TEXT + rb":\s*" + _TEXT)
NOTE = "note.txt"


@dataclass(frozen=True, slots=True)
class Logs:
    """Reads the logs of a job, those of failed attempts first."""

    queries: ResultQueries
    blobs: BlobStore

    async def texts(self, job_id: str) -> dict[str, str]:
        """Return texts by name; {} when there are none."""
        found: dict[str, str] = {}
        left = TOTAL
        for count, log in enumerate(await self.queries.logs(job_id, MOST_LOGS + 1)):
            if left <= 0 or count == MOST_LOGS:
                found["truncated.txt"] = "The logs of further attempts are not shown.\n"
                break
            stem = f"task-{log.index:04d}-attempt-{log.attempt}"
            async for name, text in self._texts(log):
                safe = _UNSAFE.sub("-", name).strip("-.") or "log"
                found[f"{stem}-{safe}"] = shown = shortened(text)
                left -= len(shown)
                await give_way()
        return found

    async def _texts(self, log: TaskLog) -> AsyncIterator[tuple[str, str]]:
        if log.ref.size > LARGEST_BLOB:
            yield NOTE, f"The log of {log.ref.size} bytes is too large to show.\n"
            return
        try:
            body = await self.blobs.get(log.ref)
        except (NotFound, ContractViolation):
            yield NOTE, "The log is not stored any more.\n"
            return
        try:
            for name, text in members(body):
                yield name, text
        except ValueError:
            yield NOTE, "The log cannot be read.\n"


def members(body: bytes) -> Iterator[tuple[str, str]]:
    """Yield the texts of a JSON object by name, each parsed when it is asked for.

    Parsing all of them at once would hold up other requests. Raises ValueError for anything else.
    """
    if body.strip() == b"{}":
        return
    place, before = 0, b"{"
    while place == 0 or body[place : place + 1] != b"}":
        match = _MEMBER.match(body, place)
        if match is None or match[1] != before:
            raise ValueError("not an object of texts")
        yield orjson.loads(match[2]), orjson.loads(match[3])
        place, before = match.end(), b","
    if body[place + 1 :].strip():
        raise ValueError("text after the object")


def shortened(text: str) -> str:
    """Return the text, or the beginning and end of a long one and how much is missing."""
    missing = len(text) - HEAD - TAIL
    if missing <= 0:
        return text
    cut = f"\n\n[... {missing} characters are left out here ...]\n\n"
    return f"{text[:HEAD]}{cut}{text[-TAIL:]}"
