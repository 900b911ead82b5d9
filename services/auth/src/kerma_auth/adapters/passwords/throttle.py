"""Limits on failed logins, and on registrations, exchanges, API tokens and logs of frontends."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass

from kerma_auth.adapters.passwords.windows import Windows
from kerma_auth.app.ports import Caller
from kerma_auth.domain.limits import Limit
from kerma_auth.domain.names import name_key
from kerma_common.addresses import site
from kerma_common.errors import TooManyRequests

FAILURES = "Too many failed logins; please try again later"
LOGS = "Too many logs; please try again later"
REGISTRATIONS = "Too many registrations from this address; please try again later"
EXCHANGES = "Too many logins; please try again later"
TOKENS = "You have created too many API tokens lately; please try again later"


@dataclass(frozen=True, slots=True)
class Limits:
    """How many failed logins and others are accepted in which time."""

    name_and_address: Limit
    name: Limit
    address: Limit
    address_in_all: Limit
    registrations: Limit
    logs: Limit
    exchanges: Limit
    token_creations: Limit


@dataclass(frozen=True, slots=True)
class CountingThrottle:
    """See ``Throttle``. Keys are keyed hashes, as people type passwords where names belong."""

    windows: Windows
    limits: Limits
    master: bytes

    async def require(self, caller: Caller) -> None:
        """See ``Throttle``."""
        limits = dict(self._failures(caller))
        pair, _, address, _ = limits
        found = await self.windows.of(list(limits))
        waits = [
            window.seconds_left
            for key, window in found.items()
            # Others may share the address: a gateway's, unless its word is trusted, or an
            # institute's. Their names have not failed there. The limit in all holds for everybody:
            # one password may be tried with any number of names.
            if window.count >= limits[key].amount and (key != address or pair in found)
        ]
        if waits:
            raise TooManyRequests(FAILURES, retry_after=max(waits))

    async def failed(self, caller: Caller) -> None:
        """See ``Throttle``."""
        for key, limit in self._failures(caller):
            await self.windows.count(key, limit.seconds)

    async def succeeded(self, caller: Caller) -> None:
        """See ``Throttle``."""
        key, _ = next(self._failures(caller))
        await self.windows.clear(key)

    async def failed_at(self, address: str) -> None:
        """See ``Throttle``; beyond the limit, nothing is written."""
        limit, key = self.limits.address, self._key("address", site(address))
        window = (await self.windows.of([key])).get(key)
        if window and window.count >= limit.amount:
            raise TooManyRequests(FAILURES, retry_after=window.seconds_left)
        await self.windows.count(key, limit.seconds)

    async def exchanges(self, user_id: str) -> None:
        """See ``Throttle``."""
        await self._count(self.limits.exchanges, EXCHANGES, "exchange", user_id)

    async def creates_token(self, user_id: str) -> None:
        """See ``Throttle``."""
        await self._count(self.limits.token_creations, TOKENS, "token", user_id)

    async def registers(self, caller: Caller) -> None:
        """See ``Throttle``."""
        address = site(caller.address)
        await self._count(self.limits.registrations, REGISTRATIONS, "registration", address)

    async def logs(self, address: str, user_id: str | None) -> None:
        """See ``Throttle``."""
        whose = ("logs of a user", user_id) if user_id else ("logs", site(address))
        await self._count(self.limits.logs, LOGS, *whose)

    async def _count(self, limit: Limit, refusal: str, *what: str) -> None:
        window = await self.windows.count(self._key(*what), limit.seconds)
        if window.count > limit.amount:
            raise TooManyRequests(refusal, retry_after=window.seconds_left)

    def _failures(self, caller: Caller) -> Iterator[tuple[str, Limit]]:
        name, address = name_key(caller.username), site(caller.address)
        yield self._key("name and address", name, address), self.limits.name_and_address
        yield self._key("name", name), self.limits.name
        yield self._key("address", address), self.limits.address
        yield self._key("address in all", address), self.limits.address_in_all

    def _key(self, kind: str, *parts: str) -> str:
        text = "\x1f".join((kind, *parts)).encode("utf-8", "surrogatepass")
        return hmac.new(self.master, text, hashlib.sha256).hexdigest()[:32]
