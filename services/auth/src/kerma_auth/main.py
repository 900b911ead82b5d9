"""Wiring of the auth service."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import timedelta

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from kerma_auth.adapters.passwords import Argon2Passwords
from kerma_auth.adapters.refresh_tokens import RefreshTokens
from kerma_auth.adapters.session_vault import SessionVault
from kerma_auth.adapters.throttle import CountingThrottle, Limits
from kerma_auth.adapters.token_labels import StoredLabels, UseRecorder
from kerma_auth.adapters.vault import METADATA as VAULT
from kerma_auth.adapters.vault import SCHEMA as VAULT_SCHEMA
from kerma_auth.adapters.vault import Vault
from kerma_auth.adapters.windows import Windows
from kerma_auth.api.routes import AuthRoutes, router
from kerma_auth.api.tokens import TokenRoutes
from kerma_auth.api.tokens import router as token_router
from kerma_auth.api.users import UserRoutes
from kerma_auth.api.users import router as user_router
from kerma_auth.app.accounts import MAX_PASSWORD, Accounts
from kerma_auth.app.administration import Administration
from kerma_auth.app.keys import Keys
from kerma_auth.app.sessions import PasswordLogin, SessionHandlers
from kerma_auth.app.tokens import ApiTokens
from kerma_auth.domain.limits import parse_limit
from kerma_auth.domain.passwords import PasswordRules
from kerma_auth.read.users import USERS, UserQueries
from kerma_common.bus.faststream import EdgeBroker
from kerma_common.db.engine import autocommit
from kerma_common.db.migrated import MigratedSchema
from kerma_common.http.app import create_app
from kerma_common.infra import Infra
from kerma_common.projection.router import Projection
from kerma_common.projection.runner import projection_loop
from kerma_common.readiness import Readiness
from kerma_common.service import Background, Service
from kerma_common.settings import HttpSettings, Settings, SettingsError, load

MASTER_KEY_BYTES = 32


class AuthSettings(Settings):
    """Settings that only auth needs."""

    model_config = SettingsConfigDict(env_prefix="KERMA_AUTH_")

    master_key: SecretStr
    """32 bytes as base64; wraps private keys and derives user ids. If it is lost, so are both."""
    secure_cookies: bool | None = None
    """Whether browsers send cookies over HTTPS only; unless set, where a login came over HTTPS."""
    signing_key_days: int = Field(default=30, ge=0, le=3650)
    """Age in days at which the key that signs tokens is replaced; 0: only by command."""
    logins_waiting: int = Field(default=64, ge=1)
    """Logins and registrations that may wait for their turn to hash a password; more get a 503."""
    open_registration: bool = True
    """Anyone may create an account; otherwise operators do."""
    password_min: int = Field(default=8, ge=1, le=64)
    """Characters that a new password must have; accounts that exist are not affected."""
    password_max: int = Field(default=128, ge=64, le=MAX_PASSWORD)
    """Characters that a new password may have."""

    failures_by_name_and_address: str = "10 per 5 minutes"
    """Failed logins with one name from one address; more get a 429."""
    failures_by_name: str = "100 per hour"
    """Failed logins with one name from anywhere."""
    failures_by_address: str = "100 per 5 minutes"
    """Failed logins from one address; behind a gateway, see KERMA_HTTP_TRUSTED_PROXIES."""
    registrations_by_address: str = "300 per hour"
    """Registrations from one address."""

    @field_validator(
        "failures_by_name_and_address",
        "failures_by_name",
        "failures_by_address",
        "registrations_by_address",
    )
    @classmethod
    def _is_limit(cls, value: str) -> str:
        parse_limit(value)
        return value

    @property
    def limits(self) -> Limits:
        """Return the limits on failed logins and registrations."""
        return Limits(
            parse_limit(self.failures_by_name_and_address),
            parse_limit(self.failures_by_name),
            parse_limit(self.failures_by_address),
            parse_limit(self.registrations_by_address),
        )


MIGRATED = MigratedSchema(VAULT_SCHEMA, (VAULT,))

PROCESSES = ()
"""The service has no process managers."""


@dataclass(frozen=True, slots=True)
class Handlers:
    """The use cases of the service, for its routes and for operators' commands."""

    accounts: Accounts
    sessions: SessionHandlers
    administration: Administration
    tokens: ApiTokens
    users: UserQueries
    keys: Keys


def projections(infra: Infra) -> tuple[Projection, ...]:  # noqa: ARG001 - others need ports
    """Return every read model of the service."""
    return (USERS,)


def build(settings: HttpSettings, infra: Infra, own: AuthSettings | None = None) -> Service:
    """Build the parts of the service that this process runs; ``own`` comes from the environment.

    Raises SettingsError.
    """
    own = own or load(AuthSettings)
    vault = Vault(autocommit(infra.db), _master(own))
    keys = _keys(own, infra, vault)
    loops = [
        projection_loop(projection, infra.log, infra.db, infra.positions)
        for projection in projections(infra)
        if "project" in infra.roles
    ]
    background: list[tuple[str, Background]] = [(loop.sink.name, loop.run) for loop in loops]
    if "api" in infra.roles:
        background.append(("signing-key", keys.run))
        recorder, broker = UseRecorder(StoredLabels(vault.db)), EdgeBroker(infra.nats)
        recorder.listen(broker)
        background += [("token-uses", recorder.run), ("edge", broker.serve)]
    made = handlers(own, infra, vault, keys)
    routes = AuthRoutes(
        made.accounts,
        made.sessions,
        infra.positions,
        infra.identity,
        infra.verifier,
        own.secure_cookies,
    )
    routers = [
        router(routes),
        user_router(UserRoutes(made.accounts, made.administration, made.users, routes)),
        token_router(TokenRoutes(made.tokens, routes)),
    ]
    health = Readiness(infra, projections(infra), [loop.retries for loop in loops] + [keys.retries])
    background += health.background
    app = create_app(
        "auth",
        verifier=infra.verifier,
        health=health,
        settings=settings,
        catch_up=health.catch_up,
        routers=routers if "api" in infra.roles else [],
    )
    return Service("auth", app, tuple(background), health)


def handlers(own: AuthSettings, infra: Infra, vault: Vault, keys: Keys) -> Handlers:
    """Return the use cases of the service."""
    db, master = autocommit(infra.db), vault.master
    users, sessions = UserQueries(db), SessionVault(db)
    passwords = Argon2Passwords(own.logins_waiting)
    throttle = CountingThrottle(Windows(db), own.limits, master)
    rules = PasswordRules(own.password_min, own.password_max)
    accounts = Accounts(
        infra.bus, vault, users, infra.clock, passwords, throttle, rules, own.open_registration
    )
    login = PasswordLogin(vault, users, passwords, throttle)
    opened = SessionHandlers(
        infra.bus, login, sessions, RefreshTokens(master), keys.signing_key, infra.clock
    )

    async def settled(seq: int) -> bool:
        return await infra.positions.wait(USERS.name, "AUTH", seq)

    tokens = ApiTokens(infra.bus, StoredLabels(db), users, infra.clock)
    administration = Administration(
        infra.bus, vault, passwords, sessions, login, opened, rules, infra.clock, tokens, settled
    )
    return Handlers(accounts, opened, administration, tokens, users, keys)


def handlers_of(infra: Infra) -> Handlers:
    """Return the use cases for a command line, which waits for no projection.

    Raises SettingsError.
    """
    own = load(AuthSettings)
    vault = Vault(autocommit(infra.db), _master(own))
    return handlers(own, infra, vault, _keys(own, infra, vault))


def _keys(own: AuthSettings, infra: Infra, vault: Vault) -> Keys:
    life = timedelta(days=own.signing_key_days) if own.signing_key_days else None
    return Keys(infra.bus, vault, infra.clock, life)


def _master(settings: AuthSettings) -> bytes:
    try:
        master = base64.b64decode(settings.master_key.get_secret_value(), validate=True)
    except ValueError:
        master = b""
    if len(master) != MASTER_KEY_BYTES:
        raise SettingsError("KERMA_AUTH_MASTER_KEY must be 32 bytes as base64")
    return master
