"""Password hashes: argon2id in few low-priority threads, behind a bounded and fair queue.

Hashes that came from another system are replaced when their password is checked for the first time.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from kerma_auth.adapters.passwords.foreign_hashes import parse_hash
from kerma_auth.adapters.passwords.login_queue import LoginQueue
from kerma_auth.app.ports import Caller, Checked, Hashing

LOWEST_PRIORITY = 19
# Changing these re-hashes each password at its next login.
TIME_COST = 2
MEMORY_KIB = 19 * 1024
PARALLELISM = 1
"""The minimum of OWASP's Password Storage Cheat Sheet for argon2id: 20 ms of processor time, where
the library's defaults take 150 ms and 64 MiB.
"""

Result = TypeVar("Result")


def standard_hasher() -> PasswordHasher:
    """Return the hasher whose parameters new hashes have."""
    return PasswordHasher(TIME_COST, MEMORY_KIB, PARALLELISM)


def threads() -> int:
    """Return how many hashes run at once: one core stays free for everything else."""
    return max(1, len(os.sched_getaffinity(0)) - 1)


class Argon2Passwords:
    """Makes and checks hashes; at most ``most_waiting`` requests wait for their turn."""

    def __init__(
        self, most_waiting: int, hasher: PasswordHasher | None = None, at_once: int | None = None
    ) -> None:
        at_once = at_once or threads()
        self._hasher = hasher or standard_hasher()
        self._queue = LoginQueue(most_waiting, at_once)
        self._threads = ThreadPoolExecutor(at_once, "passwords", _step_back)

    @asynccontextmanager
    async def turn(self, caller: Caller) -> AsyncGenerator[Hashing, None]:
        """See ``Passwords``."""
        # There are as many turns as threads, so that a stopping process waits for these alone.
        async with self._queue.turn(caller):
            yield self

    async def hash(self, password: str) -> str:
        """See ``Hashing``; only in a turn."""
        return await self._run(lambda: self._hasher.hash(password))

    async def check(self, secret_hash: str | None, password: str) -> Checked:
        """See ``Hashing``; only in a turn."""
        return await self._run(lambda: self._check(secret_hash, password))

    def _check(self, secret_hash: str | None, password: str) -> Checked:
        if not secret_hash:
            self._hasher.hash(password)
            return Checked(matches=False)
        if foreign := parse_hash(secret_hash):
            if not foreign.matches(password.encode()):
                return Checked(matches=False)
            return Checked(matches=True, renewed=self._hasher.hash(password))
        try:
            self._hasher.verify(secret_hash, password)
        except (VerificationError, InvalidHashError):
            return Checked(matches=False)
        if self._hasher.check_needs_rehash(secret_hash):
            return Checked(matches=True, renewed=self._hasher.hash(password))
        return Checked(matches=True)

    async def _run(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _step_back() -> None:
    if sys.platform == "linux":  # niceness is per thread there
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)
