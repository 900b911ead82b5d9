"""Passwords are hashed by few low-priority threads, with current parameters."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type

from kerma_auth.adapters.passwords.hashes import (
    LOWEST_PRIORITY,
    Argon2Passwords,
    standard_hasher,
    threads,
)
from kerma_auth.app.ports import Caller, Checked
from kerma_common.errors import Unavailable

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
ADA, BOB = Caller("192.0.2.1", "ada"), Caller("192.0.2.2", "bob")


async def _hash(passwords: Argon2Passwords, password: str, caller: Caller) -> str:
    async with passwords.turn(caller) as hashing:
        return await hashing.hash(password)


async def _check(
    passwords: Argon2Passwords, secret_hash: str | None, password: str, caller: Caller
) -> Checked:
    async with passwords.turn(caller) as hashing:
        return await hashing.check(secret_hash, password)


class Watched(PasswordHasher):
    """A hasher that records its thread and waits until the test lets it go on."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self.at_once = self.most_at_once = 0
        self.priorities: set[int] = set()
        self._lock = threading.Lock()

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            self.priorities.add(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        assert self.go_on.wait(30)
        with self._lock:
            self.at_once -= 1
        return str(password)


async def test_hashes_match_their_passwords_alone() -> None:
    passwords = Argon2Passwords(4, CHEAP)
    made = await _hash(passwords, "right", ADA)
    assert await _check(passwords, made, "right", ADA) == Checked(matches=True)
    for secret_hash, password in ((made, "wrong"), (None, "right"), ("no hash", "right")):
        assert await _check(passwords, secret_hash, password, ADA) == Checked(matches=False)


async def test_a_hash_with_other_parameters_is_renewed_when_the_password_matches() -> None:
    earlier = PasswordHasher(time_cost=2, memory_cost=16, parallelism=2).hash("right")
    passwords = Argon2Passwords(4, CHEAP)
    assert await _check(passwords, earlier, "wrong", ADA) == Checked(matches=False)
    checked = await _check(passwords, earlier, "right", ADA)
    assert checked.matches
    assert checked.renewed is not None
    assert extract_parameters(checked.renewed) == extract_parameters(CHEAP.hash("any"))
    assert await _check(passwords, checked.renewed, "right", ADA) == Checked(matches=True)


def test_new_hashes_have_the_parameters_that_owasp_recommends() -> None:
    made = extract_parameters(standard_hasher().hash("secret"))
    assert (made.type, made.memory_cost) == (Type.ID, 19 * 1024)
    assert (made.time_cost, made.parallelism) == (2, 1)
    assert (made.salt_len, made.hash_len) == (16, 32)


@pytest.mark.parametrize(("cores", "expected"), [(1, 1), (2, 1), (4, 3)])
def test_one_core_stays_free_where_there_are_several(
    cores: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    assert threads() == expected


@pytest.mark.parametrize("at_once", [1, 2])
async def test_few_are_hashed_at_a_time_and_the_queue_is_bounded(at_once: int) -> None:
    watched = Watched()
    passwords = Argon2Passwords(2, watched, at_once)
    async with asyncio.TaskGroup() as group:
        taken = [
            group.create_task(_hash(passwords, str(number), ADA)) for number in range(2 + at_once)
        ]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="try again"):
            await _hash(passwords, "one too many", ADA)
        while watched.at_once < at_once:
            await asyncio.sleep(0.001)
        watched.go_on.set()
    assert [task.result() for task in taken] == [str(number) for number in range(2 + at_once)]
    assert watched.most_at_once == at_once
    assert watched.priorities == {LOWEST_PRIORITY}
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) < LOWEST_PRIORITY
    assert await _hash(passwords, "again", ADA) == "again"


async def test_a_flood_from_one_address_keeps_no_other_out() -> None:
    watched = Watched()
    passwords = Argon2Passwords(2, watched, 1)
    flood = [asyncio.create_task(_hash(passwords, str(number), ADA)) for number in range(3)]
    await asyncio.sleep(0)
    other = asyncio.create_task(_hash(passwords, "other", BOB))
    await asyncio.sleep(0)
    watched.go_on.set()
    assert await other == "other"
    ends = await asyncio.gather(*flood, return_exceptions=True)
    assert [str(end) if isinstance(end, str) else type(end) for end in ends] == [
        "0",
        "1",
        Unavailable,
    ]


async def test_who_gives_up_leaves_the_queue() -> None:
    watched = Watched()
    passwords = Argon2Passwords(1, watched, 1)
    first, second = (asyncio.create_task(_hash(passwords, name, ADA)) for name in ("a", "b"))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    third = asyncio.create_task(_hash(passwords, "c", ADA))
    watched.go_on.set()
    assert (await first, await third) == ("a", "c")
