"""A process dies around an append; its successor sends the same command again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest

from kerma_common.commands.bus import CommandBus
from kerma_common.contracts.events.auth import RoleGranted, UserRegistered
from kerma_common.contracts.subjects import user_subject
from kerma_common.eventlog.jetstream import JetStreamLog
from kerma_common.eventlog.streams import apply_streams
from kerma_common.faults import FaultPoint
from kerma_common.nats import connection
from kit.events.users import USERS, Grant, Register, context

CHILD = """
import asyncio, sys
from kerma_common.commands.bus import CommandBus
from kerma_common.contracts.subjects import user_subject
from kerma_common.eventlog.jetstream import JetStreamLog
from kerma_common.nats import connection
from kit.events.users import USERS, Register, context

async def main(url, user):
    async with connection(url, name="child") as nc:
        bus = CommandBus(JetStreamLog(nc), "auth")
        await bus.execute(USERS, user_subject(user), Register(user), context("register", user))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("point", "stored"),
    [(FaultPoint.BEFORE_APPEND, 0), (FaultPoint.AFTER_APPEND_BEFORE_ANSWER, 1)],
)
async def test_the_same_command_again_means_one_commit(
    nats_url: str, point: FaultPoint, stored: int
) -> None:
    user = f"user-{point.value}"
    async with connection(nats_url, name="test") as nc:
        await apply_streams(nc)
        environment = {
            **os.environ,
            "KERMA_FAULT_POINT": point.value,
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CHILD, nats_url, user, env=environment
        )
        assert await child.wait() == -signal.SIGKILL
        log, subject = JetStreamLog(nc), user_subject(user)
        assert len(await log.load(subject)) == stored
        bus = CommandBus(log, "auth")
        again = await bus.execute(USERS, subject, Register(user), context("register", user))
        assert again.events == (UserRegistered(user_id=user, source="native"),)
        assert again.changed
        assert len(await log.load(subject)) == 1
        granted = await bus.execute(USERS, subject, Grant("admin"), context("grant", user))
        assert granted.events == (RoleGranted(user_id="u1", role="admin"),)
