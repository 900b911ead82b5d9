"""The keyring aggregate: which keys sign tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from kerma_common.contracts import auth as events
from kerma_common.domain import Aggregate


@dataclass(frozen=True, slots=True)
class EnsureKey:
    """Introduce this key unless one signs already."""

    kid: str
    algorithm: str
    public_jwk: Mapping[str, str]
    now: datetime


@dataclass(frozen=True, slots=True)
class ReplaceKey:
    """Introduce this key and retire all others at ``retire_at``."""

    kid: str
    algorithm: str
    public_jwk: Mapping[str, str]
    now: datetime
    retire_at: datetime


@dataclass(frozen=True, slots=True)
class Keyring:
    """Ids of the keys that sign, oldest first."""

    active: tuple[str, ...] = ()


def decide(keyring: Keyring, command: object) -> tuple[object, ...]:
    """Events that a command makes true."""
    match command:
        case EnsureKey():
            return () if keyring.active else (_introduced(command),)
        case ReplaceKey():
            if command.kid in keyring.active:
                return ()
            retired = [
                events.SigningKeyRetired(kid=kid, not_after=command.retire_at)
                for kid in keyring.active
            ]
            return (_introduced(command), *retired)
        case _:
            raise TypeError(f"{type(command).__name__} is not a command of the keyring")


def _introduced(command: EnsureKey | ReplaceKey) -> events.SigningKeyIntroduced:
    return events.SigningKeyIntroduced(
        kid=command.kid,
        algorithm=command.algorithm,
        public_jwk=command.public_jwk,
        not_before=command.now,
    )


def evolve(keyring: Keyring, event: object) -> Keyring:
    """State after an event."""
    match event:
        case events.SigningKeyIntroduced():
            return replace(keyring, active=(*keyring.active, event.kid))
        case events.SigningKeyRetired():
            return replace(keyring, active=tuple(k for k in keyring.active if k != event.kid))
        case _:
            return keyring


KEYRING: Aggregate[Keyring] = Aggregate("auth", "keyring", Keyring(), decide, evolve)
