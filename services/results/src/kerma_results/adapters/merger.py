"""Merges task outputs from the blob store.

Outputs are fetched a few at a time and folded in the order of task indices, so the merged bits do
not depend on which task ended first, and memory does not grow with the number of tasks.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kerma_common.errors import ContractViolation, NotFound
from kerma_engines.adapter.packing import decode_inputs, unpack_outputs
from kerma_engines.errors import EngineError
from kerma_engines.results.merge import Fold, MergeState
from kerma_results.app.ports import Unmergeable

if TYPE_CHECKING:
    from kerma_common.blobs.store import BlobStore
    from kerma_common.contracts.refs import Ref
    from kerma_engines.adapter.port import Engine, InputSet
    from kerma_engines.results.estimators import Estimator
    from kerma_results.read.queries import JobSource, TaskOutput

FETCHED_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class BlobMerger:
    """Adapter of ``Merger``.

    ``engines`` returns the engine of a name and raises KeyError for an unknown one.
    """

    blobs: BlobStore
    engines: Callable[[str], Engine]

    async def merge(self, source: JobSource, outputs: Sequence[TaskOutput]) -> Sequence[Estimator]:
        """See ``Merger``; codes INPUT_UNREADABLE, OUTPUT_UNREADABLE, OUTPUTS_DIFFER, ENGINE."""
        try:
            engine = self.engines(source.engine)
        except KeyError:
            raise Unmergeable("ENGINE", f"no engine {source.engine!r} is known here") from None
        inputs = decode_inputs(await self._inputs(source.input_ref))
        fold = Fold()
        outputs = sorted(outputs, key=lambda output: output.index)
        for start in range(0, len(outputs), FETCHED_AT_ONCE):
            some = outputs[start : start + FETCHED_AT_ONCE]
            with tempfile.TemporaryDirectory(prefix="kerma-outputs-") as folder:
                archives = [Path(folder) / f"{output.index}.tar" for output in some]
                await asyncio.gather(
                    *(self._fetch(o, archive) for o, archive in zip(some, archives, strict=True))
                )
                await asyncio.to_thread(_add, fold, engine, inputs, some, archives)
        return _in_order(fold.closed().result(), inputs)

    async def _inputs(self, ref: Ref) -> bytes:
        try:
            return await self.blobs.get(ref)
        except (NotFound, ContractViolation) as error:
            raise Unmergeable(
                "INPUT_UNREADABLE", f"the inputs cannot be read: {error.message}"
            ) from error

    async def _fetch(self, output: TaskOutput, archive: Path) -> None:
        try:
            await self.blobs.fetch(output.ref, archive)
        except (NotFound, ContractViolation) as error:
            message = f"task {output.index}: {error.message}"
            raise Unmergeable("OUTPUT_UNREADABLE", message) from error


def _add(
    fold: Fold,
    engine: Engine,
    inputs: InputSet,
    outputs: Sequence[TaskOutput],
    archives: Sequence[Path],
) -> None:
    """Add the outputs in order, unpacking one at a time."""
    for output, archive in zip(outputs, archives, strict=True):
        state = _state(engine, inputs, output, archive)
        archive.unlink()
        try:
            fold.add(state)
        except EngineError as error:
            raise Unmergeable("OUTPUTS_DIFFER", str(error)) from error


def _state(engine: Engine, inputs: InputSet, output: TaskOutput, archive: Path) -> MergeState:
    with tempfile.TemporaryDirectory(prefix="kerma-merge-") as folder:
        try:
            unpack_outputs(archive, Path(folder))
            return MergeState.of(engine.read(Path(folder), inputs), output.primaries)
        except EngineError as error:
            message = f"task {output.index}: {error}"
            raise Unmergeable("OUTPUT_UNREADABLE", message) from error


def _in_order(estimators: Sequence[Estimator], inputs: InputSet) -> Sequence[Estimator]:
    """Sort estimators by the output map, which holds even when the first tasks lack an estimator.

    Also add the engine to the metadata of each.
    """
    order = {output.name: place for place, output in enumerate(inputs.outputs)}
    ran = {"engine": inputs.engine}
    if inputs.stands_in_for:
        ran["engine_asked_for"] = inputs.stands_in_for
    named = [replace(found, metadata={**found.metadata, **ran}) for found in estimators]
    return sorted(named, key=lambda estimator: order.get(estimator.name, len(order)))
