"""Merging task outputs: equal bits in any order of arrival."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from kerma_common.blobs.store import open_blobs
from kerma_common.settings import BlobSettings
from kerma_engines.adapter.packing import encode_inputs
from kerma_engines.adapter.port import InputSet, Output
from kerma_results.adapters.merger import FETCHED_AT_ONCE, BlobMerger
from kerma_results.read.queries import JobSource, TaskOutput
from kit.programs.tally import engines, task_output

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kerma_engines.results.estimators import Estimator

TASKS = 2 * FETCHED_AT_ONCE + 3


def bits(merged: Sequence[Estimator]) -> list[bytes]:
    pages = [page for estimator in merged for page in estimator.pages]
    return [
        array.tobytes()
        for page in pages
        for array in (page.values, page.errors)
        if array is not None
    ]


async def test_the_order_of_arrival_leaves_no_trace(tmp_path: Path) -> None:
    blobs = open_blobs(BlobSettings(url=f"file://{tmp_path}/blobs"))
    inputs = InputSet("tally", {}, 100, (Output("d", "depth", "depth.npy"),))
    source = JobSource("owner", "tally", await blobs.put(encode_inputs(inputs)))
    outputs = []
    for index in range(TASKS):
        body = task_output(tmp_path, index, primaries=10 + index, outputs=["depth"])
        outputs.append(TaskOutput(index, 10 + index, await blobs.put(body)))
    merger = BlobMerger(blobs, engines)
    expected = bits(await merger.merge(source, outputs))
    numbered = [TaskOutput(TASKS - o.index, o.primaries, o.ref) for o in outputs]
    assert bits(await merger.merge(source, numbered)) != expected, "the order would matter"
    shuffled = random.Random(4)
    for _ in range(4):
        arrived = shuffled.sample(outputs, len(outputs))
        assert bits(await merger.merge(source, arrived)) == expected
