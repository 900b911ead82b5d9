"""The keyring aggregate: which keys sign tokens, and how long those are accepted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from kerma_common.contracts.events import auth as events
from kerma_common.domain import Aggregate, Rejected


@dataclass(frozen=True, slots=True)
class EnsureKey:
    """Introduce this key unless one signs already."""

    kid: str
    algorithm: str
    public_jwk: Mapping[str, str]
    now: datetime


@dataclass(frozen=True, slots=True)
class RotateKey:
    """Let this key sign from ``signs_from`` on, in place of the key ``replaces``.

    Tokens of all other keys are accepted until ``accepted_until`` at most.
    """

    kid: str
    algorithm: str
    public_jwk: Mapping[str, str]
    replaces: str
    signs_from: datetime
    accepted_until: datetime


@dataclass(frozen=True, slots=True)
class Key:
    """A key that signs from ``not_before`` on; its tokens are accepted until ``not_after``."""

    kid: str
    not_before: datetime
    not_after: datetime | None = None


@dataclass(frozen=True, slots=True)
class Keyring:
    """All keys, in the order of their introduction."""

    keys: tuple[Key, ...] = ()

    @property
    def newest(self) -> Key | None:
        """Return the key that signs now or soon."""
        active = [key for key in self.keys if key.not_after is None]
        return active[-1] if active else None

    def signing(self, now: datetime) -> Key | None:
        """Return the key that signs tokens at a time."""
        begun = [key for key in self.keys if key.not_before <= now]
        # The clock of the replica that introduced the first key may be ahead.
        return (begun or self.keys or (None,))[-1]


KeyringCommand = EnsureKey | RotateKey
KeyringEvent = events.SigningKeyIntroduced | events.SigningKeyRetired


def decide(keyring: Keyring, command: KeyringCommand) -> tuple[object, ...]:
    """Return the events of a command. Raises Rejected."""
    match command:
        case EnsureKey():
            return () if keyring.newest else (_introduced(command, command.now),)
        case RotateKey():
            return _rotate(keyring, command)
        case _:
            assert_never(command)


def _rotate(keyring: Keyring, command: RotateKey) -> tuple[object, ...]:
    if keyring.newest is None or keyring.newest.kid != command.replaces:
        raise Rejected("KEY_ROTATED", "The key was rotated meanwhile")
    until = command.accepted_until
    retired = (
        events.SigningKeyRetired(kid=key.kid, not_after=until)
        for key in keyring.keys
        if key.not_after is None or key.not_after > until
    )
    return (_introduced(command, command.signs_from), *retired)


def _introduced(command: KeyringCommand, not_before: datetime) -> events.SigningKeyIntroduced:
    return events.SigningKeyIntroduced(
        kid=command.kid,
        algorithm=command.algorithm,
        public_jwk=command.public_jwk,
        not_before=not_before,
    )


def evolve(keyring: Keyring, event: KeyringEvent) -> Keyring:
    """Return the state after an event."""
    match event:
        case events.SigningKeyIntroduced():
            return Keyring((*keyring.keys, Key(event.kid, event.not_before)))
        case events.SigningKeyRetired():
            return Keyring(
                tuple(
                    replace(key, not_after=event.not_after) if key.kid == event.kid else key
                    for key in keyring.keys
                )
            )
        case _:
            assert_never(event)


KEYRING: Aggregate[Keyring] = Aggregate("auth", "keyring", Keyring(), decide, evolve)
