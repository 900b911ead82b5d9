"""Merges task outputs from the blob store.

Outputs are fetched a few at a time and folded in the order of task indices, so the merged bits do
not depend on which task ended first, and memory does not grow with the number of tasks. They are
read in a confined process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerma_common.errors import ContractViolation, NotFound
from kerma_results.app.ports import Unmergeable

if TYPE_CHECKING:
    from kerma_common.blobs.store import BlobStore
    from kerma_common.contracts.refs import Ref
    from kerma_engines.results.estimators import Estimator
    from kerma_results.adapters.confined.client import ConfinedMerges, Merge
    from kerma_results.read.queries import JobSource, TaskOutput

FETCHED_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class BlobMerger:
    """Adapter of ``Merger``."""

    blobs: BlobStore
    confined: ConfinedMerges

    async def merge(self, source: JobSource, outputs: Sequence[TaskOutput]) -> Sequence[Estimator]:
        """See ``Merger``.

        Codes: INPUT_UNREADABLE, OUTPUT_UNREADABLE, OUTPUTS_DIFFER, ENGINE, MERGE_LIMIT, MERGE_FAULT.
        Raises Unavailable while there is no room or no process for merges, and Killed when something
        else kills the process.
        """
        try:
            self.confined.engines(source.engine)
        except KeyError:
            raise Unmergeable("ENGINE", f"no engine {source.engine!r} is known here") from None
        inputs = await self._inputs(source.input_ref)
        outputs = sorted(outputs, key=lambda output: output.index)
        seconds = self.confined.settings.merge_seconds
        try:
            async with asyncio.timeout(seconds) as limit:
                return await self._merge(source.engine, inputs, outputs)
        except TimeoutError:
            if not limit.expired():
                raise
            message = f"merging takes longer than {seconds:g} s (KERMA_RESULTS_MERGE_SECONDS)"
            raise Unmergeable("MERGE_LIMIT", message) from None

    async def _merge(
        self, engine: str, inputs: bytes, outputs: Sequence[TaskOutput]
    ) -> Sequence[Estimator]:
        async with self.confined.merge() as merge:
            busy = merge.open(engine, inputs)
            for start in range(0, len(outputs), FETCHED_AT_ONCE):
                some = outputs[start : start + FETCHED_AT_ONCE]
                # while the process works on those before
                await _together(self._fetch_all(some, merge), busy)
                busy = _add_all(some, merge)
            await busy
            return await merge.result()

    async def _inputs(self, ref: Ref) -> bytes:
        try:
            return await self.blobs.get(ref)
        except (NotFound, ContractViolation) as error:
            raise Unmergeable(
                "INPUT_UNREADABLE", f"the inputs cannot be read: {error.message}"
            ) from error

    async def _fetch_all(self, outputs: Sequence[TaskOutput], merge: Merge) -> None:
        await _together(*(self._fetch(output, _archive(output, merge)) for output in outputs))

    async def _fetch(self, output: TaskOutput, archive: Path) -> None:
        try:
            await self.blobs.fetch(output.ref, archive)
        except (NotFound, ContractViolation) as error:
            message = f"task {output.index}: {error.message}"
            raise Unmergeable("OUTPUT_UNREADABLE", message) from error


async def _add_all(outputs: Sequence[TaskOutput], merge: Merge) -> None:
    for output in outputs:
        archive = _archive(output, merge)
        await merge.add(output.index, output.primaries, archive)
        archive.unlink()


def _archive(output: TaskOutput, merge: Merge) -> Path:
    return merge.outputs / f"{output.index}.tar"


async def _together(*some: Coroutine[Any, Any, None]) -> None:
    """Run coroutines at the same time; the first exception ends all."""
    tasks = [asyncio.ensure_future(one) for one in some]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
