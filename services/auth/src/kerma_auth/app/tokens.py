"""API tokens of users, for scripts.

Out: ApiTokenCreated, ApiTokenRevoked.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from kerma_auth.domain.api_token import API_TOKEN, CreateApiToken, RevokeApiToken
from kerma_auth.domain.user import USER
from kerma_common.commands.bus import CommandBus
from kerma_common.commands.context import CommandContext
from kerma_common.contracts.subjects import api_token_subject, user_subject
from kerma_common.errors import ConcurrencyConflict, Forbidden
from kerma_common.security import api_tokens
from kerma_common.security.roles import PRIVILEGED

MOST_TOKENS = 100
"""Tokens of one user that are valid at a time; every process keeps all tokens in memory."""
TOO_MANY = f"You have {MOST_TOKENS} tokens already; revoke one first"


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


class TokenLabels(Protocol):
    """What is known of tokens beside their events."""

    async def add(self, token_id: str, label: str) -> None:
        """Store the label of a token."""

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
    """Creates, lists and revokes tokens."""

    bus: CommandBus
    labels: TokenLabels
    tokens: TokenQueries
    clock: Callable[[], datetime]

    async def create(
        self, user_id: str, label: str, life: timedelta, request_id: str
    ) -> tuple[str, str, datetime, int]:
        """Create a token; return it, its id, when it expires, and the sequence of the commit.

        Nobody can read the token again. It carries the roles that its user has now, without the
        privileged ones. Raises Forbidden if the user has too many tokens.
        """
        now = self.clock()
        if len(await self.tokens.tokens_of(user_id, now)) >= MOST_TOKENS:
            raise Forbidden(TOO_MANY)
        user, _ = await self.bus.state(USER, user_subject(user_id))
        token_id, secret = secrets.token_hex(8), secrets.token_bytes(api_tokens.SECRET_BYTES)
        roles, expires = tuple(sorted(user.roles - PRIVILEGED)), now.replace(microsecond=0) + life
        digest = api_tokens.secret_hash(secret)
        await self.labels.add(token_id, label)
        command = CreateApiToken(token_id, user_id, digest, roles, expires, user.source)
        context = CommandContext(f"user:{user_id}", (token_id,), request_id, now)
        subject = api_token_subject(user_id, token_id)
        done = await self.bus.execute(API_TOKEN, subject, command, context, fresh=True)
        user, _ = await self.bus.state(USER, user_subject(user_id))
        if not user.roles.issuperset(roles):  # one was taken away meanwhile
            await self.revoke(user_id, token_id, request_id)
            raise ConcurrencyConflict("Your roles have changed; try again")
        return api_tokens.written(token_id, secret), token_id, expires, done.seq

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
