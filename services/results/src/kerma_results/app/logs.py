"""Logs of attempts, as texts by name.

The first text of a job with failures says why it failed: the UI shows the first one. Of attempts that
failed alike, only the latest has its logs shown. A log blob is a JSON object of texts by name, written
by a worker or delivered by a cluster. The names given here have no underscores, which clients would
mangle; logs of another system keep the names that they had there. Sizes are limited, and a cut text
says where it was cut.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from kerma_common.errors import ContractViolation, NotFound
from kerma_common.precedence import give_way

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterator

    from kerma_common.blobs.store import BlobStore
    from kerma_common.contracts.refs import Ref
    from kerma_results.read.attempts import Attempt, AttemptQueries, Attempts

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
REASON = "000-why-it-failed.txt"
"""Name of the text that says why. Answers are sorted by name, so names begin with their place."""


@dataclass(frozen=True, slots=True)
class Logs:
    """Reads the logs of a job, those of failed attempts first."""

    attempts: AttemptQueries
    blobs: BlobStore

    async def texts(self, job_id: str) -> dict[str, str]:
        """Return texts by name; {} when there are none."""
        attempts = await self.attempts.of(job_id, MOST_LOGS + 1)
        found = {REASON: why} if (why := explain(attempts)) else {}
        left = TOTAL
        if attempts.imported is not None:
            async for name, text in self._texts(attempts.imported):
                if left <= 0:
                    break
                found[name] = shown = shortened(text)
                left -= len(shown)
                await give_way()
        for place, attempt in enumerate(attempts.shown, 1):
            if left <= 0 or place > MOST_LOGS:
                found["truncated.txt"] = "The logs of further attempts are not shown.\n"
                break
            if attempt.log is None:
                continue
            async for name, text in self._texts(attempt.log):
                found[f"{_stem(place, attempt)}-{_safe(name)}"] = shown = shortened(text)
                left -= len(shown)
                await give_way()
        await self._add_delivered(found, job_id, left)
        return found

    async def _add_delivered(self, found: dict[str, str], job_id: str, left: int) -> None:
        """Add delivered logs. Of those that do not fit, the first are left out."""
        numbers: dict[str, int] = {}
        for ref in await self.attempts.delivered(job_id, MOST_LOGS):
            if left <= 0:
                found[_unused("earlier-logs.txt", found, numbers)] = "Earlier logs are not shown.\n"
                break
            async for name, text in self._texts(ref):
                chosen = _unused(_safe(name), found, numbers)
                found[chosen] = shown = shortened(text)
                left -= len(chosen) + len(shown)
                await give_way()

    async def _texts(self, log: Ref) -> AsyncIterator[tuple[str, str]]:
        if log.size > LARGEST_BLOB:
            yield NOTE, f"The log of {log.size} bytes is too large to show.\n"
            return
        try:
            body = await self.blobs.get(log)
        except (NotFound, ContractViolation):
            yield NOTE, "The log is not stored any more.\n"
            return
        try:
            for name, text in members(body):
                yield name, text
        except ValueError:
            yield NOTE, "The log cannot be read.\n"


def explain(attempts: Attempts) -> str:
    """Return why the job and its attempts failed; empty if nothing failed."""
    lines = []
    if attempts.failure is not None:
        code, summary = attempts.failure
        lines += [f"The job failed: {summary}", f"Code: {code}", ""]
    failed = [attempt for attempt in attempts.shown[:MOST_LOGS] if attempt.failed]
    if failed:
        lines += [
            "Failed attempts, the latest first; those that failed alike are counted once:",
            "",
        ]
    for place, attempt in enumerate(failed, 1):
        lines += [f"{_number(attempt)}: {attempt.code}", *_indented(attempt.reason or "")]
        if attempt.log is not None:
            lines.append(f"    logs: {_stem(place, attempt)}-*")
    return "\n".join(lines).rstrip("\n") + "\n" if lines else ""


def _number(attempt: Attempt) -> str:
    tasks = f"task {attempt.first}"
    if attempt.last != attempt.first:
        tasks = f"tasks from {attempt.first} to {attempt.last}"
    return f"{attempt.number} attempt{'s' if attempt.number > 1 else ''} of {tasks}"


def _indented(reason: str) -> list[str]:
    return [f"    {line}" for line in reason.splitlines()]


def _stem(place: int, attempt: Attempt) -> str:
    return f"{place:03d}-task-{attempt.index:04d}-attempt-{attempt.attempt}"


def _safe(name: str) -> str:
    return _UNSAFE.sub("-", name).strip("-.") or "log"


def _unused(name: str, used: Collection[str], numbers: dict[str, int]) -> str:
    """Return the name, or with a number where a later log has it: none hides another.

    ``numbers`` are the last ones given by name, so that thousands of equal names take no search.
    """
    stem, dot, suffix = name.rpartition(".")
    before, after = (stem, dot + suffix) if stem else (suffix, "")
    chosen = name
    while chosen in used:
        numbers[name] = numbers.get(name, 1) + 1
        chosen = f"{before}-{numbers[name]}{after}"
    return chosen


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
