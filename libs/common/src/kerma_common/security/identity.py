"""Keys and revocations in memory, so that tokens are verified without a query and without auth.

One follower per process reads AUTH. Keys, API tokens and disabled accounts are kept for ever, revocations for
as long as a token that they concern could be valid. While the follower does not see the end of AUTH, a logout elsewhere may
be missing, so after ``STALE_SECONDS`` no token is accepted.

In: SigningKeyIntroduced, SigningKeyRetired, SessionEnded, SessionsRevoked, RoleGranted, RoleRevoked,
AccountDisabled, AccountEnabled, ApiTokenCreated, ApiTokenRevoked (auth).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Generic, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from kerma_common.commands.consistency import Watermarks
from kerma_common.contracts.events import auth
from kerma_common.errors import Unavailable
from kerma_common.security.api_tokens import ApiToken
from kerma_common.security.tokens import ACCESS_LIFE, CLOCK_SKEW, Claims, public_key

STREAM = "AUTH"
KEPT = ACCESS_LIFE + 2 * CLOCK_SKEW
"""How long a revocation is kept. A token lives no longer; clocks may differ in both directions."""
STALE_SECONDS = 10.0
"""Seconds after which what is known about sessions is too old to accept a token."""
START_SECONDS = 1.0
"""Seconds that a request waits while AUTH is read for the first time."""
REPORT_SECONDS = 60.0
"""Seconds between two reports that a token was used."""
_READ = (STREAM,)
V = TypeVar("V")


class _Expiring(Generic[V]):
    """Values that are dropped when their time is over; times are put in ascending order."""

    def __init__(self) -> None:
        self._kept: dict[Any, tuple[V, float]] = {}

    def put(self, key: object, value: V, until: float) -> None:
        self._kept.pop(key, None)  # so that it comes last
        self._kept[key] = (value, until)

    def has(self, key: object) -> bool:
        return key in self._kept

    def get(self, key: object) -> V | None:
        found = self._kept.get(key)
        return found[0] if found else None

    def remove(self, key: object) -> None:
        self._kept.pop(key, None)

    def drop(self, now: float) -> None:
        for key in list(self._over(now)):
            del self._kept[key]

    def _over(self, now: float) -> Iterator[object]:
        for key, (_, until) in self._kept.items():
            if until > now:
                return
            yield key


@dataclass(slots=True)
class Identity:
    """What this process knows of AUTH. ``clock`` is monotonic, in seconds."""

    clock: Callable[[], float] = time.monotonic
    _keys: dict[str, Ed25519PublicKey] = field(default_factory=dict, init=False)
    _retired: dict[str, datetime] = field(default_factory=dict, init=False)
    _ended: _Expiring[None] = field(default_factory=_Expiring, init=False)
    _revoked: _Expiring[datetime] = field(default_factory=_Expiring, init=False)
    _without_role: _Expiring[None] = field(default_factory=_Expiring, init=False)
    _tokens: dict[str, ApiToken] = field(default_factory=dict, init=False)
    _used: dict[str, float] = field(default_factory=dict, init=False)
    _unreported: set[str] = field(default_factory=set, init=False)
    _disabled: set[str] = field(default_factory=set, init=False)
    _looked: datetime = field(default=datetime.min.replace(tzinfo=UTC), init=False)
    _marks: Watermarks = field(default_factory=Watermarks, init=False)
    _complete: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _seen: float = field(default=0.0, init=False)
    _listeners: list[Callable[[object], None]] = field(default_factory=list, init=False)

    def apply(self, event: object) -> None:
        """Take an event into account. Raises jwt.InvalidKeyError for what is not a key."""
        match event:
            case auth.SigningKeyIntroduced():
                self._introduce(event.kid, public_key(event.public_jwk))
            case auth.SigningKeyRetired():
                self._retired[event.kid] = event.not_after
            case auth.SessionEnded():
                self._ended.put((event.user_id, event.session_id), None, self._until)
            case auth.SessionsRevoked():
                earlier = self._revoked.get(event.user_id) or event.not_before
                latest = max(earlier, event.not_before)
                self._revoked.put(event.user_id, latest, self._until)
            case _:
                self._apply_to_account(event)
        for listener in self._listeners:
            listener(event)

    def listen(self, listener: Callable[[object], None]) -> None:
        """Call a function with every event, after it has been taken into account."""
        self._listeners.append(listener)

    def _apply_to_account(self, event: object) -> None:
        match event:
            case auth.RoleRevoked():
                self._without_role.put((event.user_id, event.role), None, self._until)
            case auth.RoleGranted():
                self._without_role.remove((event.user_id, event.role))
            case auth.AccountDisabled():
                self._disabled.add(event.user_id)
            case auth.AccountEnabled():
                self._disabled.discard(event.user_id)
            case auth.ApiTokenCreated():
                self._tokens[event.token_id] = ApiToken(
                    event.user_id,
                    event.secret_sha256,
                    frozenset(event.roles),
                    event.expires,
                    event.source,
                )
            case auth.ApiTokenRevoked():
                self._tokens.pop(event.token_id, None)

    def _introduce(self, kid: str, key: Ed25519PublicKey) -> None:
        # An event that is read again leaves the key as it is: verified tokens refer to it.
        if (known := self._keys.get(kid)) is None or known != key:
            self._keys[kid] = key

    @property
    def _until(self) -> float:
        """When a revocation that is read now can be dropped.

        The time of reading is later than that of the event: replayed events are kept longer than
        they need to be, and a wrong time in an event has no effect.
        """
        return self.clock() + KEPT.total_seconds()

    def key(self, kid: str) -> Ed25519PublicKey | None:
        """Return a key by its id, None if AUTH has not introduced it."""
        return self._keys.get(kid)

    def is_over(self, claims: Claims) -> bool:
        """Return whether the session or the key of a token was revoked."""
        user = claims.user_id
        if self._ended.has((user, claims.session_id)):
            return True
        not_before = self._revoked.get(user)
        if not_before is not None and not_before > claims.issued_at:
            return True
        not_after = self._retired.get(claims.key_id)
        return not_after is not None and not_after < datetime.now(UTC)

    def api_token(self, token_id: str) -> ApiToken | None:
        """Return a token that is not revoked."""
        return self._tokens.get(token_id)

    def used(self, token_id: str) -> None:
        """Note that a token was accepted."""
        now = self.clock()
        if now - self._used.get(token_id, -REPORT_SECONDS) >= REPORT_SECONDS:
            self._used[token_id] = now
            self._unreported.add(token_id)

    def take_used(self, most: int) -> tuple[str, ...]:
        """Return, once, the tokens to report as used."""
        taken = tuple(islice(self._unreported, most))
        self._unreported.difference_update(taken)
        return taken

    def is_disabled(self, user_id: str) -> bool:
        """Return whether a user may not act."""
        return user_id in self._disabled

    def roles(self, user_id: str, claimed: frozenset[str]) -> frozenset[str]:
        """Return the roles in a token without those that the user has lost since."""
        return frozenset(role for role in claimed if not self._without_role.has((user_id, role)))

    def advance(self, seq: int) -> None:
        """Note that AUTH is known up to a sequence."""
        self._marks.advance(_READ, seq)

    async def wait(self, seq: int, timeout: float = 2.0) -> bool:
        """Return whether this process knows AUTH up to ``seq`` within ``timeout`` seconds."""
        return await self._marks.wait(_READ, seq, timeout)

    def saw_end(self, at: float) -> None:
        """Note that everything that was stored at a moment of ``clock`` is known."""
        self._seen = at
        self._complete.set()
        now = self.clock()
        self._ended.drop(now)
        self._revoked.drop(now)
        self._without_role.drop(now)
        self._drop_expired()

    def _drop_expired(self) -> None:
        now = datetime.now(UTC)
        if self._tokens and now >= self._looked + KEPT:
            self._looked = now
            self._tokens = {k: token for k, token in self._tokens.items() if token.expires > now}
            self._used = {k: at for k, at in self._used.items() if k in self._tokens}

    @property
    def fault(self) -> str | None:
        """Return why no token is accepted, None if tokens are."""
        if not self._complete.is_set():
            return "AUTH has not been read yet"
        age = self.clock() - self._seen
        return f"the end of AUTH was seen {age:.0f} s ago" if age > STALE_SECONDS else None

    async def require_current(self) -> None:
        """Wait for the first reading of AUTH. Raises Unavailable if what is known is too old."""
        if not self._complete.is_set():
            try:
                async with asyncio.timeout(START_SECONDS):
                    await self._complete.wait()
            except TimeoutError:
                pass
        if self.fault is not None:
            raise Unavailable("Sessions cannot be checked now; try again")
