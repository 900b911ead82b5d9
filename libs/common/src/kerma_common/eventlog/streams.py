"""The streams: one log per context, and one each for tickets, telemetry, poison, audit, probes.

One command creates and changes them (``apply_streams``). Services only verify, because a server
that is too old accepts settings that it does not know and silently drops them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from kerma_common.contracts.envelope import MAX_COMMIT_BYTES
from kerma_common.contracts.subjects import STREAMS, stream_subjects
from kerma_common.errors import ContractViolation, Unavailable
from kerma_common.eventlog import api
from kerma_common.poison import STREAM as POISON

if TYPE_CHECKING:
    from nats.aio.client import Client

MIN_SERVER = (2, 12)
EPOCH = "kerma.epoch"
"""Metadata key: a restored stream has another epoch, so no reader mistakes its history."""

PROBES = "PROBES"
"""Stream of probe writes; keeps the last message of each service."""

PLACE_SECONDS = 15.0
"""How long a cluster may take until it has a member for each replica."""
PLACE_AGAIN_SECONDS = 0.2
_SECOND = 1_000_000_000
_DAY = 24 * 3600 * _SECOND
_CHANGEABLE = frozenset({"num_replicas", "duplicate_window", "max_msg_size", "allow_direct"})


def _log_stream(context: str, replicas: int) -> dict[str, Any]:
    return {
        "name": STREAMS[context],
        "subjects": [stream_subjects(context)],
        "retention": "limits",
        "storage": "file",
        "num_replicas": replicas,
        "discard": "new",
        "deny_delete": True,
        "compression": "s2",
        "allow_direct": True,
        "duplicate_window": 120 * _SECOND,
        # The limit covers body and headers together.
        "max_msg_size": MAX_COMMIT_BYTES + 16 * 1024,
        "max_age": 0,
        "max_msgs": -1,
        "max_bytes": -1,
        "max_msgs_per_subject": -1,
    }


def definitions(replicas: int = 1) -> tuple[Mapping[str, Any], ...]:
    """Return the configuration of every stream, in the server's terms (times in nanoseconds)."""
    work = _stream(
        "WORK",
        "work.>",
        replicas,
        retention="workqueue",
        max_age=_DAY,
        duplicate_window=120 * _SECOND,
    )
    telemetry = _stream(
        "TELEMETRY",
        "tele.>",
        1,
        max_age=_DAY,
        max_msgs_per_subject=1,
        allow_direct=True,
        persist_mode="async",
    )
    poison = _stream(
        POISON,
        "poison.>",
        1,
        max_age=30 * _DAY,
        max_msgs=1000,
        max_msg_size=16 * 1024,
        max_msgs_per_subject=1,
    )
    audit = _stream("AUDIT", "audit.>", replicas, discard="new", deny_delete=True, max_age=0)
    probes = _stream(PROBES, "probe.>", replicas, max_msgs_per_subject=1, max_bytes=4 * 2**20)
    logs = (_log_stream(context, replicas) for context in STREAMS)
    return (*logs, work, telemetry, poison, audit, probes)


def _stream(name: str, subjects: str, replicas: int, **settings: object) -> Mapping[str, Any]:
    """Return a stream in a file that drops its oldest messages, unless settings say otherwise."""
    usual = {"retention": "limits", "storage": "file", "discard": "old"}
    return {**usual, "name": name, "subjects": [subjects], "num_replicas": replicas, **settings}


async def apply_streams(nc: Client, replicas: int = 1) -> tuple[str, ...]:
    """Create missing streams and change those that may change; return a sentence for each change.

    Raises ContractViolation, before anything is touched, if a change could lose or reinterpret
    stored events; Unavailable if a cluster stays too small for the replicas.
    """
    _require_server(nc)
    wanted = definitions(replicas)
    present = {w["name"]: await _config(nc, w["name"]) for w in wanted}
    for config in wanted:
        _refuse_danger(config, present[config["name"]])
    done = []
    for config in wanted:
        name, found = config["name"], present[config["name"]]
        if found is None:
            fresh = {**config, "metadata": {EPOCH: str(uuid4())}}
            await _create(nc, name, fresh)
            done.append(f"{name}: created")
        elif changes := _differences(config, found):
            await api.call(nc, f"STREAM.UPDATE.{name}", {**found, **config})
            done.append(f"{name}: changed {', '.join(sorted(changes))}")
    await verify_streams(nc)
    return tuple(done)


async def _create(nc: Client, name: str, config: Mapping[str, Any]) -> None:
    until = time.monotonic() + PLACE_SECONDS
    while True:
        try:
            await api.call(nc, f"STREAM.CREATE.{name}", config)
        except api.ApiError as error:
            if error.code != api.NO_PLACE:
                raise
            if time.monotonic() >= until:
                raise Unavailable(f"the cluster has no place for {name}: {error}") from error
            await asyncio.sleep(PLACE_AGAIN_SECONDS)
        else:
            return


async def verify_streams(nc: Client) -> Mapping[str, str]:
    """Return the epoch of each stream of the log, by name.

    Raises ContractViolation if the server is too old, a stream is missing, or a stream's
    configuration differs from ours. The number of replicas is the operator's choice and not
    compared.
    """
    _require_server(nc)
    epochs = {}
    for config in definitions():
        name = config["name"]
        found = await _config(nc, name)
        if found is None:
            raise ContractViolation(
                f"stream {name} does not exist; run 'kerma admin streams apply'"
            )
        if changes := _differences(config, found).keys() - {"num_replicas"}:
            raise ContractViolation(
                f"stream {name} differs from its definition in {', '.join(sorted(changes))}; "
                "run 'kerma admin streams apply'"
            )
        if name in STREAMS.values():
            epochs[name] = (found.get("metadata") or {}).get(EPOCH, "")
    return epochs


def _require_server(nc: Client) -> None:
    if not nc.is_connected:
        raise Unavailable("not connected to the event log")
    version = nc.connected_server_version
    if (version.major, version.minor) < MIN_SERVER:
        raise ContractViolation(
            f"NATS server {version} is too old: the event log needs "
            f"{MIN_SERVER[0]}.{MIN_SERVER[1]} or newer"
        )


async def _config(nc: Client, name: str) -> dict[str, Any] | None:
    try:
        answer = await api.call(nc, f"STREAM.INFO.{name}")
    except api.ApiError as error:
        if error.code == api.STREAM_NOT_FOUND:
            return None
        raise
    config: dict[str, Any] = answer["config"]
    return config


def _differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {
        key: (found.get(key), value) for key, value in wanted.items() if found.get(key) != value
    }


def _refuse_danger(wanted: Mapping[str, Any], found: Mapping[str, Any] | None) -> None:
    if found is None:
        return
    changes = _differences(wanted, found)
    forbidden = changes.keys() - _CHANGEABLE
    if "max_msg_size" in changes and 0 < wanted["max_msg_size"] < found["max_msg_size"]:
        forbidden.add("max_msg_size")
    if "num_replicas" in changes and wanted["num_replicas"] < found["num_replicas"]:
        forbidden.add("num_replicas")
    if forbidden:
        listed = ", ".join(f"{k}: {changes[k][0]} → {changes[k][1]}" for k in sorted(forbidden))
        raise ContractViolation(
            f"stream {wanted['name']} holds data under other settings ({listed}); "
            "such a change needs a new stream"
        )
