"""Operators' actions on the keys that sign tokens."""

from __future__ import annotations

from collections.abc import Sequence

from kerma_allinone.admin.system import ACTOR, open_service
from kerma_auth.domain.keyring import Key
from kerma_auth.main import handlers_of


async def listed() -> Sequence[Key]:
    """Return all keys, oldest first."""
    async with open_service("auth") as infra:
        return (await handlers_of(infra).keys.keyring()).keys


async def rotate(*, at_once: bool) -> None:
    """Replace the key that signs; with ``at_once``, all access tokens are void now."""
    async with open_service("auth") as infra:
        await handlers_of(infra).keys.rotate(ACTOR, at_once=at_once)
