"""Password hashes: argon2id in one low-priority thread, behind a bounded queue.

A hash takes 64 MiB and about 0.1 s of processor time, by design. Many at once would starve all
other requests, so only one runs at a time, at the lowest priority.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from kerma_common.errors import Unavailable

LOWEST_PRIORITY = 19
Result = TypeVar("Result")


def _step_back() -> None:
    if sys.platform == "linux":  # niceness is per thread there
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)


@dataclass(slots=True)
class Argon2Passwords:
    """Makes and checks hashes; at most ``most_waiting`` requests wait for their turn."""

    most_waiting: int
    hasher: PasswordHasher = field(default_factory=PasswordHasher)
    _waiting: int = 0
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, "passwords", _step_back)
    )

    async def hash(self, password: str) -> str:
        """Return a new hash. Raises Unavailable when too many requests wait."""
        return await self._in_turn(lambda: self.hasher.hash(password))

    async def matches(self, secret_hash: str | None, password: str) -> bool:
        """Return whether the password matches the hash; takes equally long when there is no hash.

        Raises Unavailable when too many requests wait.
        """
        return await self._in_turn(lambda: self._matches(secret_hash, password))

    def _matches(self, secret_hash: str | None, password: str) -> bool:
        if secret_hash is None:
            self.hasher.hash(password)
            return False
        try:
            return self.hasher.verify(secret_hash, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _in_turn(self, work: Callable[[], Result]) -> Result:
        if self._waiting >= self.most_waiting:
            raise Unavailable("Too many people are logging in; please try again")
        self._waiting += 1
        try:
            # submit one hash at a time, so that a stopping process waits for one at most
            async with self._turn:
                return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._waiting -= 1
