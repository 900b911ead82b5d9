"""What attempts of tasks left to read, as texts by name.

A log blob is either one text or a tar of texts. Names have no underscores, which clients would
mangle; everything is limited in size, and the text says so where something is missing.
"""

from __future__ import annotations

import asyncio
import io
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from kerma_common.errors import ContractViolation, NotFound

if TYPE_CHECKING:
    from kerma_common.blobs.store import BlobStore
    from kerma_results.read.queries import ResultQueries, TaskLog

HEAD_BYTES = 64 * 1024
TAIL_BYTES = 192 * 1024
"""Of a larger text the beginning and, because errors stand there, more of the end is kept."""
TOTAL_BYTES = 8 * 1024 * 1024
LARGEST_BLOB = 64 * 1024 * 1024
LARGEST_LOGS = 500
LARGEST_FILES = 20
_UNSAFE = re.compile(r"[^A-Za-z0-9.]+")


@dataclass(frozen=True, slots=True)
class Logs:
    """Reads the logs of a job; those of failed attempts come first."""

    queries: ResultQueries
    blobs: BlobStore

    async def texts(self, job_id: str) -> dict[str, str]:
        """Texts by name; {} when there are none."""
        found: dict[str, str] = {}
        left = TOTAL_BYTES
        logs = await self.queries.logs(job_id, LARGEST_LOGS)
        for done, log in enumerate(logs):
            if left <= 0:
                found["truncated.txt"] = f"{len(logs) - done} more logs are not shown.\n"
                break
            for name, text in await self._files(log):
                found[name] = text
                left -= len(text)
        return found

    async def _files(self, log: TaskLog) -> list[tuple[str, str]]:
        stem = f"task-{log.index:04d}-attempt-{log.attempt}"
        if log.ref.size > LARGEST_BLOB:
            return [(f"{stem}.log", f"The log of {log.ref.size} bytes is too large to show.\n")]
        try:
            body = await self.blobs.get(log.ref)
        except (NotFound, ContractViolation):
            return [(f"{stem}.log", "The log is not stored any more.\n")]
        if log.ref.media.startswith("text/"):
            return [(f"{stem}.log", shortened(io.BytesIO(body), len(body)))]
        return await asyncio.to_thread(lambda: list(_members(stem, body)))


def _members(stem: str, body: bytes) -> Iterator[tuple[str, str]]:
    try:
        with tarfile.open(fileobj=io.BytesIO(body)) as tar:
            for count, member in enumerate(m for m in tar if m.isfile()):
                if count == LARGEST_FILES:
                    yield f"{stem}-truncated.txt", "More files are not shown.\n"
                    return
                file = tar.extractfile(member)
                assert file is not None
                name = _UNSAFE.sub("-", member.name).strip("-.") or "log"
                yield f"{stem}-{name}", shortened(file, member.size)
    except tarfile.TarError as error:
        yield f"{stem}.log", f"The log cannot be read: {error}\n"


def shortened(file: IO[bytes], size: int) -> str:
    """The text of a file; of a long one its beginning and its end, and what is missing."""
    if size <= HEAD_BYTES + TAIL_BYTES:
        return file.read().decode(errors="replace")
    head = file.read(HEAD_BYTES).decode(errors="replace")
    file.seek(size - TAIL_BYTES)
    tail = file.read(TAIL_BYTES).decode(errors="replace")
    missing = size - HEAD_BYTES - TAIL_BYTES
    return f"{head}\n\n[... {missing} bytes are left out here ...]\n\n{tail}"
