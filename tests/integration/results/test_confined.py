"""Merges of outputs that have taken over the process that reads them."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import socket
import struct
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from kerma_common.blobs.store import BlobStore, open_blobs
from kerma_common.errors import Unavailable
from kerma_common.settings import BlobSettings
from kerma_engines.adapter.packing import encode_inputs, pack_outputs, take_outputs, unpack_outputs
from kerma_engines.adapter.port import Engine, InputSet, Output
from kerma_engines.results.estimator_bytes import encode_estimators
from kerma_engines.results.estimators import Estimator
from kerma_engines.results.merge import Fold, MergeState
from kerma_results.adapters.confined import client
from kerma_results.adapters.confined.client import ConfinedMerges, Killed
from kerma_results.adapters.confined.messages import PART
from kerma_results.adapters.merger import FETCHED_AT_ONCE, BlobMerger
from kerma_results.app.ports import Unmergeable
from kerma_results.read.queries import JobSource, TaskOutput
from kerma_results.settings import ResultsSettings
from kerma_sandbox.forks import shared
from kerma_sandbox.forks.shared import SharedForks, Work
from kerma_sandbox.measure import Mode, SandboxUnavailable, measure
from kerma_sandbox.sandbox import Level, Sandbox
from kit.programs.probe_engine import ProbeEngine, probe_input
from kit.programs.tally import TallyEngine, engines, task_output

TASKS = 2 * FETCHED_AT_ONCE + 3
HONEST = probe_input("forge", answer="{}")


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return open_blobs(BlobSettings(url=f"file://{tmp_path}/blobs"))


@asynccontextmanager
async def merging(
    blobs: BlobStore, engines: Callable[[str], Engine] = ProbeEngine, **settings: Any
) -> AsyncIterator[BlobMerger]:
    """Provide a merger with its nursery; check at the end that nothing is left in its folder."""
    forks = SharedForks()
    merger = BlobMerger(blobs, ConfinedMerges(engines, ResultsSettings(**settings), forks))
    running = asyncio.create_task(forks.run())
    try:
        yield merger
        home = await forks.home()
        await until(lambda: not list(home.iterdir()))
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def source(blobs: BlobStore, inputs: InputSet) -> JobSource:
    return JobSource("owner", inputs.engine, await blobs.put(encode_inputs(inputs)))


async def own_output(blobs: BlobStore, folder: Path) -> TaskOutput:
    """Return an output with one file, ``own``."""
    work, kept = folder / "work", folder / "kept"
    work.mkdir(exist_ok=True)
    (work / "own").write_text("own")
    taken = take_outputs(work, ("own",), kept, 1 << 20)
    body = b"".join(pack_outputs(kept, taken))
    shutil.rmtree(kept)
    return TaskOutput(0, 1, await blobs.put(body))


async def merge(merger: BlobMerger, inputs: InputSet, folder: Path) -> Sequence[Estimator]:
    blobs = merger.blobs
    return await merger.merge(await source(blobs, inputs), [await own_output(blobs, folder)])


async def verdict(merger: BlobMerger, inputs: InputSet, folder: Path) -> tuple[str, str]:
    """Return code and message of a merge that fails."""
    with pytest.raises(Unmergeable) as failed:
        await merge(merger, inputs, folder)
    return failed.value.code, failed.value.message


def read_here(body: bytes, inputs: InputSet, folder: Path, primaries: int) -> MergeState:
    """Read the output of a task in this process."""
    archive = folder / "archive.tar"
    archive.write_bytes(body)
    unpacked = Path(tempfile.mkdtemp(dir=folder))
    unpack_outputs(archive, unpacked)
    return MergeState.of(TallyEngine().read(unpacked, inputs), primaries)


def encoded(merged: Sequence[Estimator]) -> bytes:
    return b"".join(encode_estimators(merged))


async def test_merged_bits_are_those_of_a_merge_in_this_process_in_any_order(
    blobs: BlobStore, tmp_path: Path
) -> None:
    outputs, fold = [], Fold()
    inputs = InputSet("tally", {}, 100, (Output("d", "depth", "depth.npy"),))
    for index in range(TASKS):
        body = task_output(tmp_path, index, primaries=10 + index, outputs=["depth"])
        fold.add(read_here(body, inputs, tmp_path, 10 + index))
        outputs.append(TaskOutput(index, 10 + index, await blobs.put(body)))
    (expected,) = fold.closed().result()
    expected = Estimator(
        expected.name,
        expected.file,
        expected.primaries,
        expected.pages,
        {**expected.metadata, "engine": "tally"},
    )
    job = await source(blobs, inputs)
    async with merging(blobs, engines) as merger:
        assert encoded(await merger.merge(job, outputs)) == encoded([expected])
        numbered = [TaskOutput(TASKS - o.index, o.primaries, o.ref) for o in outputs]
        assert encoded(await merger.merge(job, numbered)) != encoded([expected])
        shuffled = random.Random(4)
        for _ in range(3):
            arrived = shuffled.sample(outputs, len(outputs))
            assert encoded(await merger.merge(job, arrived)) == encoded([expected])


async def test_results_of_several_parts_are_complete(blobs: BlobStore, tmp_path: Path) -> None:
    bins = PART // 8
    inputs = InputSet("tally", {}, 100, (Output("d", "depth", "depth.npy"),))
    body = task_output(tmp_path, 0, primaries=10, bins=bins, outputs=["depth"])
    output = TaskOutput(0, 10, await blobs.put(body))
    read = read_here(body, inputs, tmp_path, 10).result()
    async with merging(blobs, engines) as merger:
        (found,) = await merger.merge(await source(blobs, inputs), [output])
    assert encoded([Estimator(found.name, found.file, 10, found.pages)]) == encoded(
        [Estimator(found.name, found.file, 10, read[0].pages)]
    )


async def test_a_merge_sees_its_outputs_alone(
    blobs: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERMA_NATS_URL", "secret")
    (tmp_path / "secret").write_text("secret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        async with merging(blobs) as merger:
            other = encode_inputs(HONEST)
            async with merger.confined.merge() as made:
                await made.open("probe", other)
                (made.work / "own").write_text("other")
                look = probe_input(
                    "look",
                    secret=str(tmp_path / "secret"),
                    other=str(made.work / "own"),
                    pid=os.getpid(),
                    port=server.getsockname()[1],
                )
                found = await merge(merger, look, tmp_path)
                assert (made.work / "own").read_text() == "other"
    seen = dict(estimator.name.split(": ", 1) for estimator in found)
    assert seen.pop("own") == "own"
    assert seen.pop("environment") == "done ['OPENBLAS_NUM_THREADS']"
    assert seen.pop("write here") == "done 1"
    assert all(result.startswith("refused") for result in seen.values()), seen


@pytest.mark.parametrize("mode", ["hang", "spin"])
async def test_a_merge_that_takes_too_long_fails(
    blobs: BlobStore, tmp_path: Path, mode: str
) -> None:
    async with merging(blobs, read_seconds=0.5) as merger:
        code, message = await verdict(merger, probe_input(mode), tmp_path)
        await until(lambda: not forks())
    assert (code, message) == (
        "MERGE_LIMIT",
        "merging the output of task 0 took longer than 0.5 s (KERMA_RESULTS_READ_SECONDS)",
    )


async def test_the_time_of_a_whole_merge_is_limited(blobs: BlobStore, tmp_path: Path) -> None:
    async with merging(blobs, merge_seconds=0.5) as merger:
        code, message = await verdict(merger, probe_input("hang"), tmp_path)
    assert (code, message) == (
        "MERGE_LIMIT",
        "merging takes longer than 0.5 s (KERMA_RESULTS_MERGE_SECONDS)",
    )


@pytest.mark.parametrize("mode", ["bloat", "grow"])
async def test_a_merge_that_needs_too_much_memory_fails(
    blobs: BlobStore, tmp_path: Path, mode: str
) -> None:
    async with merging(blobs, merge_memory=1 << 30) as merger:
        code, message = await verdict(merger, probe_input(mode), tmp_path)
    assert code == "MERGE_LIMIT"
    assert message.endswith("needs more than 1073741824 bytes (KERMA_RESULTS_MERGE_MEMORY)")


@pytest.mark.parametrize(
    ("mode", "reason"),
    [("fill", "KERMA_RESULTS_UNPACKED_BYTES"), ("litter", "files"), ("tree", "files")],
)
async def test_a_merge_that_writes_too_much_fails(
    blobs: BlobStore, tmp_path: Path, mode: str, reason: str
) -> None:
    async with merging(blobs, unpacked_bytes=16 << 20) as merger:
        code, message = await verdict(merger, probe_input(mode), tmp_path)
    assert (code, reason in message) == ("MERGE_LIMIT", True), message


FORGED = [
    probe_input("endless"),
    probe_input("long"),
    probe_input("body"),
    probe_input("crash"),
    probe_input("half"),
    probe_input("forge", answer="[" * 100_000),
    probe_input("forge", answer='{"code": "EVIL", "message": "x"}'),
    probe_input("forge", answer='{"message": "a\\u0000b"}'),
    probe_input("forge", answer='{"fault": "no room", "full": true}'),
    probe_input("usurp", answer='{"size": 0}', body=""),
    probe_input("usurp", answer='{"size": 9}', body="00"),
    probe_input("usurp", answer='{"size": 8}', body=struct.pack("<Q", 1 << 63).hex()),
    probe_input("usurp", answer='{"size": 10}', body=(struct.pack("<Q", 2) + b"{}").hex()),
    probe_input("usurp", answer='{"size": 1e99}', body=""),
]


@pytest.mark.parametrize("inputs", FORGED, ids=str)
async def test_a_forged_answer_fails_the_merge_and_no_other(
    blobs: BlobStore, tmp_path: Path, inputs: InputSet
) -> None:
    async with merging(blobs, read_seconds=2.0) as merger:
        code, _ = await verdict(merger, inputs, tmp_path)
        honest = probe_input("usurp", answer=json.dumps({"size": 10}), body=EMPTY.hex())
        assert await merge(merger, honest, tmp_path) == ()
    assert code in ("MERGE_FAULT", "MERGE_LIMIT")


EMPTY = struct.pack("<Q", 2) + b"[]"


async def test_announced_results_are_bounded(blobs: BlobStore, tmp_path: Path) -> None:
    async with merging(blobs, merged_bytes=1000) as merger:
        large = probe_input("usurp", answer='{"size": 1001}', body="00")
        code, message = await verdict(merger, large, tmp_path)
    assert (code, "KERMA_RESULTS_MERGED_BYTES" in message) == ("MERGE_LIMIT", True)


async def test_a_refused_output_names_its_task(blobs: BlobStore, tmp_path: Path) -> None:
    async with merging(blobs) as merger:
        code, message = await verdict(merger, probe_input("refuse"), tmp_path)
    assert (code, message) == ("OUTPUT_UNREADABLE", "task 0: own: line 1: no")


async def test_a_killed_process_says_nothing_about_the_outputs(
    blobs: BlobStore, tmp_path: Path
) -> None:
    async with merging(blobs) as merger:
        with pytest.raises(Killed, match="was killed"):
            await merge(merger, probe_input("die"), tmp_path)


async def test_merges_go_on_when_their_nursery_has_died(blobs: BlobStore, tmp_path: Path) -> None:
    inputs = InputSet("tally", {}, 100, (Output("d", "depth", "depth.npy"),))
    body = task_output(tmp_path, 0, primaries=10, outputs=["depth"])
    output = TaskOutput(0, 10, await blobs.put(body))
    async with merging(blobs, engines) as merger:
        async with merger.confined.merge() as made:
            await until(lambda: bool(forks()))
            psutil.Process(forks()[0].ppid()).kill()
            await made.child.ended
            with pytest.raises(Killed):
                await made.open("tally", encode_inputs(inputs))
        (found,) = await merger.merge(await source(blobs, inputs), [output])
    assert found.primaries == 10


async def test_a_full_disk_is_waited_for(
    blobs: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(client, "_write_something", full)
    claim = probe_input("forge", answer='{"fault": "no room", "full": true}')
    async with merging(blobs) as merger:
        with pytest.raises(Unavailable, match="no room"):
            await merge(merger, claim, tmp_path)


async def test_the_strictest_mode_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def none(*_: object, mode: Mode, **__: object) -> Sandbox:
        asked.append(mode)
        raise SandboxUnavailable("none")

    monkeypatch.setattr(shared, "measure", none)
    for modes in ([Mode.OFF, Mode.REQUIRE, Mode.PREFER], [Mode.OFF, Mode.PREFER], [Mode.OFF]):
        made = SharedForks()
        for mode in modes:
            made.add(Work(str(mode), "module", {}, mode))
        with pytest.raises(SandboxUnavailable):
            await made.run()
    assert asked == [Mode.REQUIRE, Mode.PREFER, Mode.OFF]


@pytest.mark.parametrize("level", [Level.NAMESPACES, Level.LANDLOCK, Level.USER])
async def test_merges_work_at_every_level_of_the_sandbox(
    blobs: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: Level
) -> None:
    """Forks may have another user than the service, who still fetches and removes files."""
    made = []

    def weaker(home: Path, **given: Any) -> Sandbox:
        made.append(measure(home, levels=(level,), **given))
        return made[0]

    monkeypatch.setattr(shared, "measure", weaker)
    inputs = InputSet("tally", {}, 100, (Output("d", "depth", "depth.npy"),))
    body = task_output(tmp_path, 0, primaries=10, outputs=["depth"])
    output = TaskOutput(0, 10, await blobs.put(body))
    async with merging(blobs, engines) as merger:
        (found,) = await merger.merge(await source(blobs, inputs), [output])
        async with merger.confined.merge() as another:
            owners = {path.stat().st_uid for path in (another.work, another.outputs)}
            assert owners == {another.home.stat().st_uid}
    assert found.primaries == 10
    if made[0].level is not level:
        pytest.skip(f"the machine allows no {level}: merged without")


async def test_merges_run_without_a_sandbox_when_it_is_off(
    blobs: BlobStore, tmp_path: Path
) -> None:
    async with merging(blobs, sandbox=Mode.OFF) as merger:
        code, _ = await verdict(merger, probe_input("refuse"), tmp_path)
    assert code == "OUTPUT_UNREADABLE"


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.02)


def forks() -> list[psutil.Process]:
    """Return the forks of this process's nursery."""
    found = [p for p in psutil.Process().children(recursive=True) if is_nursery(p)]
    pids = {process.pid for process in found}
    return [process for process in found if process.ppid() in pids]


def is_nursery(process: psutil.Process) -> bool:
    try:
        zombie = process.status() == psutil.STATUS_ZOMBIE
        return not zombie and process.cmdline()[:3] == [*shared.PROGRAM]
    except psutil.Error:
        return False
