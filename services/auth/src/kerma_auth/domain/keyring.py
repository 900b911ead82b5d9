"""The keyring aggregate: which keys sign tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from kerma_common.contracts.events import auth as events
from kerma_common.domain import Aggregate


@dataclass(frozen=True, slots=True)
class EnsureKey:
    """Introduce this key unless one signs already."""

    kid: str
    algorithm: str
    public_jwk: Mapping[str, str]
    now: datetime


@dataclass(frozen=True, slots=True)
class Keyring:
    """Ids of the keys that sign, oldest first."""

    active: tuple[str, ...] = ()


KeyringEvent = events.SigningKeyIntroduced | events.SigningKeyRetired


def decide(keyring: Keyring, command: EnsureKey) -> tuple[object, ...]:
    """Return the events of a command."""
    if keyring.active:
        return ()
    introduced = events.SigningKeyIntroduced(
        kid=command.kid,
        algorithm=command.algorithm,
        public_jwk=command.public_jwk,
        not_before=command.now,
    )
    return (introduced,)


def evolve(keyring: Keyring, event: KeyringEvent) -> Keyring:
    """Return the state after an event."""
    match event:
        case events.SigningKeyIntroduced():
            return replace(keyring, active=(*keyring.active, event.kid))
        case events.SigningKeyRetired():
            return replace(keyring, active=tuple(k for k in keyring.active if k != event.kid))
        case _:
            assert_never(event)


KEYRING: Aggregate[Keyring] = Aggregate("auth", "keyring", Keyring(), decide, evolve)
