"""Passwords are hashed one at a time, behind a bounded queue, in a low-priority thread."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest
from argon2 import PasswordHasher

from kerma_auth.adapters.passwords import LOWEST_PRIORITY, Argon2Passwords
from kerma_common.errors import Unavailable

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class Watched:
    """A hasher that records its thread and waits until the test lets it go on."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.at_once = self.most_at_once = 0
        self.priorities: set[int] = set()

    def hash(self, password: str) -> str:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.priorities.add(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        assert self.go_on.wait(30)
        self.at_once -= 1
        return password


async def test_hashes_match_their_passwords_alone() -> None:
    passwords = Argon2Passwords(4, CHEAP)
    made = await passwords.hash("right")
    assert await passwords.matches(made, "right")
    assert not await passwords.matches(made, "wrong")
    assert not await passwords.matches(None, "right")
    assert not await passwords.matches("no hash", "right")


async def test_one_is_hashed_at_a_time_and_the_queue_is_bounded() -> None:
    watched = Watched()
    passwords = Argon2Passwords(3, watched)  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as group:
        taken = [group.create_task(passwords.hash(str(number))) for number in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="try again"):
            await passwords.hash("one too many")
        watched.go_on.set()
    assert [task.result() for task in taken] == ["0", "1", "2"]
    assert watched.most_at_once == 1
    assert watched.priorities == {LOWEST_PRIORITY}
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) < LOWEST_PRIORITY
    assert await passwords.hash("again") == "again"


async def test_who_gives_up_leaves_the_queue() -> None:
    watched = Watched()
    passwords = Argon2Passwords(2, watched)  # type: ignore[arg-type]
    first, second = (asyncio.create_task(passwords.hash(name)) for name in ("a", "b"))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    third = asyncio.create_task(passwords.hash("c"))
    watched.go_on.set()
    assert (await first, await third) == ("a", "c")
