"""API tokens of users, for scripts.

Out: ApiTokenCreated, ApiTokenRevoked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from kerma_auth.app.ports import Throttle
from kerma_auth.domain.account import ACCOUNT
from kerma_auth.domain.api_token import API_TOKEN, CreateApiToken, RevokeApiToken
from kerma_auth.domain.user import USER
from kerma_common.commands.bus import CommandBus
from kerma_common.commands.context import CommandContext
from kerma_common.contracts.subjects import account_subject, api_token_subject, user_subject
from kerma_common.errors import ConcurrencyConflict, DomainRejected, KeyReused
from kerma_common.http.idempotency import KEPT, REUSED, RequestKey
from kerma_common.security import api_tokens
from kerma_common.security.roles import PRIVILEGED

TOO_MANY = "TOO_MANY_TOKENS"


@dataclass(frozen=True, slots=True)
class Label:
    """What a user calls a token, and when it was used last, to the minute."""

    label: str
    last_used: datetime | None


class Token(Protocol):
    """A token that is not revoked."""

    @property
    def token_id(self) -> str:
        """Return the id."""

    @property
    def roles(self) -> Sequence[str]:
        """Return the roles that it carries."""

    @property
    def created(self) -> datetime:
        """Return when it was created."""

    @property
    def expires(self) -> datetime:
        """Return when it expires."""


class Secrets(Protocol):
    """Ids and secrets of new tokens."""

    def make(self, user_id: str, key: RequestKey | None) -> tuple[str, bytes]:
        """Return an id and a secret: equal ones for equal requests with a key, else random ones."""


class TokenLabels(Protocol):
    """What is known of tokens beside their events."""

    async def add(
        self, token_id: str, user_id: str, label: str, expires: datetime, most: int
    ) -> bool:
        """Store the label of a token, unless it has one; return whether it has one now.

        It gets none if its user has ``most`` valid tokens, those counted that are being created.
        """

    async def of(self, token_ids: Sequence[str]) -> Mapping[str, Label]:
        """Return the labels of tokens."""

    async def drop(self, token_id: str) -> None:
        """Delete what is stored of a token."""


class TokenQueries(Protocol):
    """Queries on projected tokens."""

    async def tokens_of(self, user_id: str, now: datetime) -> Sequence[Token]:
        """Return the valid tokens of a user, oldest first."""


@dataclass(frozen=True, slots=True)
class ApiTokens:
    """Creates, lists and revokes tokens; of each user, ``most`` are valid at a time."""

    bus: CommandBus
    labels: TokenLabels
    tokens: TokenQueries
    clock: Callable[[], datetime]
    secrets: Secrets
    throttle: Throttle
    most: int

    async def create(
        self,
        user_id: str,
        label: str,
        life: timedelta,
        request_id: str,
        key: RequestKey | None = None,
    ) -> tuple[str, str, datetime, int]:
        """Create a token; return it, its id, when it expires, and the sequence of the commit.

        Nobody can read the token again, but a repetition with the same ``key`` gets it for a day. It
        carries the roles that its user has now, without the privileged ones. Raises DomainRejected
        if the user has too many tokens, TooManyRequests, and KeyReused.
        """
        now = self.clock()
        token_id, secret = self.secrets.make(user_id, key)
        if key is not None and (found := await self._earlier(user_id, token_id, secret, now, life)):
            return found
        await self.throttle.creates_token(user_id)
        user, _ = await self.bus.state(USER, user_subject(user_id))
        roles, expires = tuple(sorted(user.roles - PRIVILEGED)), now.replace(microsecond=0) + life
        digest = api_tokens.secret_hash(secret)
        if not await self.labels.add(token_id, user_id, label, expires, self.most):
            raise DomainRejected(TOO_MANY, f"You have {self.most} tokens already; revoke one first")
        command = CreateApiToken(token_id, user_id, digest, roles, expires, user.source)
        context = CommandContext(f"user:{user_id}", (token_id,), request_id, now)
        subject = api_token_subject(user_id, token_id)
        done = await self.bus.execute(API_TOKEN, subject, command, context, fresh=True)
        user, _ = await self.bus.state(USER, user_subject(user_id))
        account, _ = await self.bus.state(ACCOUNT, account_subject(user_id))
        # a role was taken away meanwhile, or the user is being removed
        if not user.registered or account.disabled or not user.roles.issuperset(roles):
            await self.revoke(user_id, token_id, request_id)
            raise ConcurrencyConflict("Your account has changed; try again")
        if key is not None:  # a repetition at the same time may have come first
            found = await self._earlier(user_id, token_id, secret, now, life)
            assert found is not None
            return found
        return api_tokens.written(token_id, secret), token_id, expires, done.seq

    async def _earlier(
        self, user_id: str, token_id: str, secret: bytes, now: datetime, life: timedelta
    ) -> tuple[str, str, datetime, int] | None:
        """Return the token of an earlier request with the same key, None if there is none.

        Raises KeyReused if the key stands for another request or a void token, or is too old.
        """
        token, seq = await self.bus.state(API_TOKEN, api_token_subject(user_id, token_id))
        if token.expires is None:
            return None
        same = token.secret_sha256 == api_tokens.secret_hash(secret)
        if token.revoked or not same or now - (token.expires - life) > KEPT:
            raise KeyReused(REUSED)
        return api_tokens.written(token_id, secret), token_id, token.expires, seq

    async def listed(self, user_id: str) -> Sequence[tuple[Token, Label]]:
        """Return the valid tokens of a user, oldest first."""
        found = await self.tokens.tokens_of(user_id, self.clock())
        labels = await self.labels.of([token.token_id for token in found])
        return [(token, labels.get(token.token_id, Label("", None))) for token in found]

    async def revoke_with(self, user_id: str, role: str, request_id: str, actor: str) -> None:
        """Make a user's tokens that carry a role void, since the user has lost it."""
        for token in await self.tokens.tokens_of(user_id, self.clock()):
            if role in token.roles:
                await self.revoke(user_id, token.token_id, request_id, actor)

    async def revoke(
        self, user_id: str, token_id: str, request_id: str, actor: str | None = None
    ) -> int:
        """Make a token void everywhere; return the sequence. Raises NotFound."""
        now, actor = self.clock(), actor or f"user:{user_id}"
        command = RevokeApiToken(token_id, user_id)
        context = CommandContext(actor, (request_id, "revoke"), request_id, now)
        subject = api_token_subject(user_id, token_id)
        seq = (await self.bus.execute(API_TOKEN, subject, command, context)).seq
        await self.labels.drop(token_id)
        return seq
