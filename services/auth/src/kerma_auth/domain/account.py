"""The account aggregate: whether a user may act.

It has a subject of its own, so that every process reads the few accounts that were ever disabled, and
not all users.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from kerma_auth.domain.user import OWN_ACCOUNT, By, check_may_administer
from kerma_common.contracts.events import auth as events
from kerma_common.domain import Aggregate, Rejected


@dataclass(frozen=True, slots=True)
class DisableAccount:
    """Refuse every token and login of a user who has ``roles``."""

    user_id: str
    roles: frozenset[str]
    by: By


@dataclass(frozen=True, slots=True)
class EnableAccount:
    """Let a user who has ``roles`` log in again."""

    user_id: str
    roles: frozenset[str]
    by: By


@dataclass(frozen=True, slots=True)
class Account:
    """State of one account."""

    disabled: bool = False


AccountCommand = DisableAccount | EnableAccount
AccountEvent = events.AccountDisabled | events.AccountEnabled


def decide(account: Account, command: AccountCommand) -> tuple[object, ...]:
    """Return the events of a command. Raises Rejected."""
    check_may_administer(command.by, command.roles)
    match command:
        case DisableAccount():
            if command.by.user_id == command.user_id:
                raise Rejected(OWN_ACCOUNT, "Nobody may disable the own account")
            disabled = events.AccountDisabled(user_id=command.user_id)
            return () if account.disabled else (disabled,)
        case EnableAccount():
            enabled = events.AccountEnabled(user_id=command.user_id)
            return (enabled,) if account.disabled else ()
        case _:
            assert_never(command)


def evolve(_account: Account, event: AccountEvent) -> Account:
    """Return the state after an event."""
    match event:
        case events.AccountDisabled():
            return Account(disabled=True)
        case events.AccountEnabled():
            return Account(disabled=False)
        case _:
            assert_never(event)


ACCOUNT: Aggregate[Account] = Aggregate("auth", "account", Account(), decide, evolve)
