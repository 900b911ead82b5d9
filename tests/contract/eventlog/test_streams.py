"""Streams are created once, verified by everyone, and changed only where that is harmless."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from nats.aio.client import Client, ServerVersion

from kerma_allinone.children import nats_server
from kerma_common.contracts.rpc_runner import WORK_STREAM
from kerma_common.errors import ContractViolation
from kerma_common.eventlog import api
from kerma_common.eventlog.jetstream import JetStreamLog
from kerma_common.eventlog.streams import apply_streams, definitions, verify_streams
from kerma_common.nats import connection

LOG_STREAMS = {"AUTH", "JOBS", "RUNNER", "BATCH", "RESULTS"}


@pytest_asyncio.fixture
async def nc(tmp_path: Path) -> AsyncIterator[Client]:
    async with (
        nats_server(tmp_path / "nats") as server,
        connection(server.url, name="test") as client,
    ):
        yield client


async def change(nc: Client, name: str, **changes: Any) -> None:
    """Change a stream's configuration behind our back."""
    config = (await api.call(nc, f"STREAM.INFO.{name}"))["config"]
    await api.call(nc, f"STREAM.UPDATE.{name}", {**config, **changes})


async def test_the_server_keeps_every_setting(nc: Client) -> None:
    done = await apply_streams(nc)
    assert {line.partition(":")[0] for line in done} == LOG_STREAMS | {
        "WORK",
        "TELEMETRY",
        "POISON",
        "AUDIT",
        "PROBES",
    }
    for wanted in definitions():
        echoed = (await api.call(nc, f"STREAM.INFO.{wanted['name']}"))["config"]
        assert {key: echoed.get(key) for key in wanted} == wanted


async def test_streams_wait_until_the_cluster_has_a_place(
    nc: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A leader that is new does not know the other members yet, and refuses."""
    answered, refused = api.call, list[str]()

    async def call(nc: Client, subject: str, request: object = None, **options: Any) -> Any:
        if subject.startswith("STREAM.CREATE.") and len(refused) < 2:
            refused.append(subject)
            raise api.ApiError(api.NO_PLACE, "no suitable peers for placement")
        return await answered(nc, subject, request, **options)

    monkeypatch.setattr(api, "call", call)
    assert f"{WORK_STREAM}: created" in await apply_streams(nc)
    assert len(refused) == 2


async def test_applying_again_changes_nothing(nc: Client) -> None:
    await apply_streams(nc)
    epochs = await verify_streams(nc)
    assert await apply_streams(nc) == ()
    assert await verify_streams(nc) == epochs


async def test_every_stream_of_the_log_has_its_own_epoch(nc: Client) -> None:
    await apply_streams(nc)
    epochs = await verify_streams(nc)
    assert epochs.keys() == LOG_STREAMS
    assert all(epochs.values())
    assert len(set(epochs.values())) == len(epochs)
    assert (await JetStreamLog(nc).state("JOBS")).epoch == epochs["JOBS"]


async def test_a_missing_stream_is_named(nc: Client) -> None:
    with pytest.raises(ContractViolation, match=r"AUTH does not exist.*streams apply"):
        await verify_streams(nc)


async def test_a_changed_stream_is_named_and_put_right(nc: Client) -> None:
    await apply_streams(nc)
    epochs = await verify_streams(nc)
    await change(nc, "RUNNER", duplicate_window=60 * 10**9)
    with pytest.raises(ContractViolation, match=r"RUNNER differs.*duplicate_window"):
        await verify_streams(nc)
    assert await apply_streams(nc) == ("RUNNER: changed duplicate_window",)
    assert await verify_streams(nc) == epochs


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"max_age": 3600 * 10**9}, "max_age"),
        ({"subjects": ["ev.jobs.>", "other.>"]}, "subjects"),
        ({"max_msg_size": 10**6}, "max_msg_size"),
    ],
    ids=lambda value: str(value),
)
async def test_dangerous_changes_are_refused_before_anything_is_done(
    nc: Client, changes: dict[str, Any], reason: str
) -> None:
    await apply_streams(nc)
    await change(nc, "AUTH", duplicate_window=60 * 10**9)
    await change(nc, "JOBS", **changes)
    with pytest.raises(ContractViolation, match=f"JOBS holds data.*{reason}"):
        await apply_streams(nc)
    config = (await api.call(nc, "STREAM.INFO.AUTH"))["config"]
    assert config["duplicate_window"] == 60 * 10**9


async def test_fewer_replicas_are_refused(cluster: Any) -> None:
    async with connection(cluster.url, name="test") as nc:
        with pytest.raises(ContractViolation, match="num_replicas: 3 → 1"):
            await apply_streams(nc, 1)


async def test_an_old_server_is_refused(nc: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "connected_server_version", ServerVersion("2.11.9"))
    for operation in (apply_streams, verify_streams):
        with pytest.raises(ContractViolation, match="too old"):
            await operation(nc)
