"""The jobs service at a time that is ahead of the present, again and again on the same data."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import httpx

from kerma_common.clock import system_clock
from kerma_common.infra import ALL_ROLES, Infra
from kerma_common.service import Service
from kerma_common.settings import HttpSettings
from kerma_jobs.main import build
from kerma_jobs.settings import JobsSettings
from kit.running.worlds.jobs_world import NamedUsers
from kit.running.worlds.services import running

World = tuple[httpx.AsyncClient, Infra]
Start = Callable[..., AbstractAsyncContextManager[World]]
"""Starts the service so much ahead, with or without its processes."""


def starter(nats_url: str, postgres_url: str, blobs: Path) -> Start:
    """Return what starts the service on these servers."""

    def start(
        ahead: timedelta = timedelta(), *, processes: bool = True
    ) -> AbstractAsyncContextManager[World]:
        def clock() -> datetime:
            return system_clock() + ahead

        def built(settings: HttpSettings, infra: Infra) -> Service:
            roles = ALL_ROLES if processes else ALL_ROLES - {"process"}
            return build(settings, replace(infra, clock=clock, roles=roles), JobsSettings())

        return running(
            "jobs",
            "kerma_jobs",
            built,
            nats_url=nats_url,
            postgres_url=postgres_url,
            blobs=blobs,
            verifier=NamedUsers(),
        )

    return start
