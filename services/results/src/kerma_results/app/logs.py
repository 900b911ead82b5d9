"""Logs of attempts, as texts by name.

A log blob is a JSON object of texts by name, written by a worker. The names given here have no
underscores, which clients would mangle. Sizes are limited, and a cut text says where it was cut.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from kerma_common.errors import ContractViolation, NotFound

if TYPE_CHECKING:
    from kerma_common.blobs.store import BlobStore
    from kerma_results.read.queries import ResultQueries, TaskLog

HEAD = 64 * 1024
TAIL = 192 * 1024
"""Characters kept of a longer text; more of its end, where the errors are."""
TOTAL = 8 * 1024 * 1024
LARGEST_BLOB = 64 * 1024 * 1024
MOST_LOGS = 100
_UNSAFE = re.compile(r"[^A-Za-z0-9.]+")
_TEXTS: TypeAdapter[dict[str, str]] = TypeAdapter(dict[str, str])


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
            for name, text in (await self._texts(log)).items():
                safe = _UNSAFE.sub("-", name).strip("-.") or "log"
                found[f"{stem}-{safe}"] = shown = shortened(text)
                left -= len(shown)
        return found

    async def _texts(self, log: TaskLog) -> dict[str, str]:
        if log.ref.size > LARGEST_BLOB:
            return {"note.txt": f"The log of {log.ref.size} bytes is too large to show.\n"}
        try:
            return _TEXTS.validate_json(await self.blobs.get(log.ref))
        except (NotFound, ContractViolation):
            return {"note.txt": "The log is not stored any more.\n"}
        except ValidationError:
            return {"note.txt": "The log cannot be read.\n"}


def shortened(text: str) -> str:
    """Return the text, or the beginning and end of a long one and how much is missing."""
    missing = len(text) - HEAD - TAIL
    if missing <= 0:
        return text
    cut = f"\n\n[... {missing} characters are left out here ...]\n\n"
    return f"{text[:HEAD]}{cut}{text[-TAIL:]}"
