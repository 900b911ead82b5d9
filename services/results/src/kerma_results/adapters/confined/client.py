"""Merges in confined processes: the service's side.

The service fetches archives of outputs into a folder and receives the merged estimators as bytes,
which it checks. It parses no file of an engine.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import mmap
import os
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from kerma_common.errors import Unavailable
from kerma_results.adapters.confined.messages import KIND, PART, Answer, encode_request
from kerma_results.app.ports import Unmergeable
from kerma_sandbox.files import removal
from kerma_sandbox.files.usage import usage
from kerma_sandbox.forks import handover
from kerma_sandbox.forks.calls import Call, CallFailed, Exceeded, Limit
from kerma_sandbox.forks.children import Child, NurseryGone
from kerma_sandbox.forks.nursery import ForkLimits
from kerma_sandbox.forks.shared import SharedForks, Work, give

if TYPE_CHECKING:
    from kerma_engines.adapter.port import Engine
    from kerma_engines.results.estimators import Estimator
    from kerma_results.settings import ResultsSettings

MODULE = "kerma_results.adapters.confined.process"
_ARRAYS = "kerma_engines.results.estimator_bytes"
"""What decodes results. It takes 20 MB, which a service that merges nothing can do without."""
MOST_FILES = 10_000
"""Files and folders that a merge may have at a time; an output has a few."""

_OPEN_FILES = 1024
_LOOK_SECONDS = 0.5
_PROBE = bytes(1 << 20)
_log = logging.getLogger(__name__)
_Found = TypeVar("_Found")


class Killed(Exception):  # noqa: N818 - a fact
    """The process that merges was killed from outside, perhaps for want of memory."""


@dataclass(slots=True)
class ConfinedMerges:
    """Makes processes that merge.

    ``engines`` returns the engine of a name; it is a module's function, imported by other processes.
    """

    engines: Callable[[str], Engine]
    settings: ResultsSettings
    forks: SharedForks
    _clearing: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        limits = ForkLimits(
            address_space=self.settings.merge_memory,
            file_size=self.settings.unpacked_bytes,
            open_files=_OPEN_FILES,
        )
        module, name = self.engines.__module__, self.engines.__qualname__
        self.forks.add(
            Work(
                KIND,
                MODULE,
                {"engines": [module, name], "limits": asdict(limits)},
                self.settings.sandbox,
                file_size=self.settings.unpacked_bytes,
                open_files=_OPEN_FILES,
                code=handover.code_of([module]),
            )
        )

    @asynccontextmanager
    async def merge(self) -> AsyncGenerator[Merge, None]:
        """Provide a process for one merge. Raises Unavailable while none can be forked."""
        try:
            child = await self.forks.children.fork(KIND)
        except NurseryGone as gone:
            raise Unavailable(str(gone)) from None
        try:
            merge = _new_merge(child, await self.forks.home(), self.settings)
        except BaseException:
            await self.forks.children.end(child)
            raise
        try:
            yield merge
        finally:
            clearing = asyncio.create_task(self._clear(merge))
            self._clearing.add(clearing)
            clearing.add_done_callback(self._clearing.discard)

    async def _clear(self, merge: Merge) -> None:
        """End the process, then remove its files: nothing waits for that."""
        await self.forks.children.kill(merge.child)
        await asyncio.to_thread(_remove, merge.work.parent)


@dataclass(slots=True)
class Merge:
    """One merge, in a process of its own.

    ``open`` comes first. The caller puts archives into ``outputs``; the process may read these, and
    write to ``work``. All calls raise Unmergeable, Killed and Unavailable.
    """

    child: Child
    outputs: Path
    work: Path
    home: Path
    settings: ResultsSettings
    _looked: float = field(default_factory=time.monotonic)

    async def open(self, engine: str, inputs: bytes) -> None:
        """Confine the process, and name the engine and the encoded inputs of the job."""
        places = {"outputs": str(self.outputs), "work": str(self.work)}
        head = encode_request("open", engine=engine, **places)
        await asyncio.gather(
            self._ask("outputs", head, inputs), asyncio.to_thread(import_module, _ARRAYS)
        )

    async def add(self, index: int, primaries: int, archive: Path) -> None:
        """Add the output of a task."""
        give(archive, self.home)
        head = encode_request("add", index=index, primaries=primaries, archive=str(archive))
        await self._ask(f"output of task {index}", head)

    async def result(self) -> Sequence[Estimator]:
        """Return the merged estimators."""
        answer, part = await self._ask("outputs", encode_request("close"), longest=PART)
        size, most = answer.size, self.settings.merged_bytes
        if size > most:
            raise Unmergeable(
                "MERGE_LIMIT",
                f"the merged results take {size} bytes, more than {most}"
                " (KERMA_RESULTS_MERGED_BYTES)",
            )
        if len(part) == size:
            return _decoded(part)
        with tempfile.TemporaryFile(dir=self.outputs) as file:
            await asyncio.to_thread(file.write, part)
            await self._receive(file, size - len(part))
            return await asyncio.to_thread(_mapped, file)

    async def _receive(self, file: IO[bytes], size: int) -> None:
        while size > 0:
            _, part = await self._ask("outputs", encode_request("part"), longest=min(PART, size))
            if not part:
                raise Unmergeable("MERGE_FAULT", "the merged results are shorter than announced")
            await asyncio.to_thread(file.write, part)
            size -= len(part)

    async def _ask(
        self, what: str, head: bytes, body: bytes = b"", *, longest: int = 0
    ) -> tuple[Answer, bytes]:
        call = Call(
            f"merging the {what}",
            Limit(self.settings.read_seconds, "KERMA_RESULTS_READ_SECONDS"),
            Limit(self.settings.merge_memory, "KERMA_RESULTS_MERGE_MEMORY"),
        )
        try:
            async with call.in_time():
                reply, part = await self._watched(call.ask(self.child, head, body, longest))
            answer = Answer.model_validate_json(reply)
        except Exceeded as exceeded:
            raise Unmergeable("MERGE_LIMIT", str(exceeded)) from None
        except CallFailed as failed:
            if failed.again:
                raise Killed(str(failed)) from None
            raise Unmergeable("MERGE_FAULT", str(failed)) from None
        except ValidationError:
            raise Unmergeable("MERGE_FAULT", f"{call.doing} gave another answer") from None
        if answer.code is not None:
            raise Unmergeable(answer.code, answer.message)
        if answer.fault is not None:
            if answer.full:
                await self._check_room()
            raise Unmergeable("MERGE_FAULT", f"{call.doing} failed: {answer.fault}")
        return answer, part

    async def _watched(self, asked: Awaitable[_Found]) -> _Found:
        """Look at the work folder twice a second until there is an answer."""
        asking = asyncio.ensure_future(asked)
        try:
            while True:
                left = self._looked + _LOOK_SECONDS - time.monotonic()
                done, _ = await asyncio.wait([asking], timeout=max(left, 0.0))
                if done:
                    return asking.result()
                await self._check_usage()
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def _check_usage(self) -> None:
        """Raise Unmergeable if the process has written too much."""
        self._looked = time.monotonic()
        found = await asyncio.to_thread(usage, self.work, MOST_FILES)
        if found.size > (most := self.settings.unpacked_bytes):
            limit = f"{most} bytes of files (KERMA_RESULTS_UNPACKED_BYTES)"
            raise Unmergeable("MERGE_LIMIT", f"merging the outputs takes more than {limit}")
        if found.entries > MOST_FILES or found.deep:
            raise Unmergeable("MERGE_LIMIT", f"merging the outputs takes over {MOST_FILES} files")

    async def _check_room(self) -> None:
        """Raise Unavailable if the disk is full, whatever the process says, and not by its doing."""
        await self._check_usage()
        try:
            await asyncio.to_thread(_write_something, self.outputs)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Unavailable(f"no room for merging: {error.strerror}") from None
            raise


def _new_merge(child: Child, home: Path, settings: ResultsSettings) -> Merge:
    folder = Path(tempfile.mkdtemp(dir=home, prefix="merge-"))
    merge = Merge(child, folder / "outputs", folder / "work", home, settings)
    for made in (folder, merge.outputs, merge.work):
        made.mkdir(mode=0o700, exist_ok=True)
        give(made, home)
    return merge


def _write_something(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(_PROBE)
        file.flush()
        os.posix_fallocate(file.fileno(), 0, len(_PROBE))


def _mapped(file: IO[bytes]) -> Sequence[Estimator]:
    """Return the estimators in a file, whose arrays stay there."""
    file.flush()
    return _decoded(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _decoded(data: bytes | mmap.mmap) -> Sequence[Estimator]:
    from kerma_engines.results.estimator_bytes import DamagedEstimators, decode_estimators

    try:
        return decode_estimators(data)
    except DamagedEstimators as error:
        raise Unmergeable("MERGE_FAULT", f"the merged results cannot be read: {error}") from None


def _remove(folder: Path) -> None:
    left = removal.empty(folder)
    with suppress(OSError):
        folder.rmdir()
    if left.count:
        _log.warning("%d files of a merge stay", left.count, extra={"left": left.first})
