"""Wiring of the auth service."""

from __future__ import annotations

import base64

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from kerma_auth.adapters.passwords import Argon2Passwords
from kerma_auth.adapters.vault import METADATA as VAULT
from kerma_auth.adapters.vault import SCHEMA as VAULT_SCHEMA
from kerma_auth.adapters.vault import Vault
from kerma_auth.api.routes import AuthRoutes, router
from kerma_auth.app.accounts import Accounts
from kerma_auth.app.keys import Keys
from kerma_auth.read.users import USERS, UserQueries
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
    secure_cookies: bool = False
    """Send cookies over HTTPS only; the page must be served over HTTPS too."""
    logins_waiting: int = Field(default=64, ge=1)
    """Logins and registrations that may wait for their turn to hash a password; more get a 503."""


MIGRATED = MigratedSchema(VAULT_SCHEMA, (VAULT,))

PROCESSES = ()
"""The service has no process managers."""


def projections(infra: Infra) -> tuple[Projection, ...]:  # noqa: ARG001 - others need ports
    """Return every read model of the service."""
    return (USERS,)


def build(settings: HttpSettings, infra: Infra, own: AuthSettings | None = None) -> Service:
    """Build the parts of the service that this process runs; ``own`` comes from the environment.

    Raises SettingsError.
    """
    own = own or load(AuthSettings)
    vault = Vault(autocommit(infra.db), _master(own))
    keys = Keys(infra.bus, vault, infra.clock)
    loops = [
        projection_loop(projection, infra.log, infra.db, infra.positions)
        for projection in projections(infra)
        if "project" in infra.roles
    ]
    background: list[tuple[str, Background]] = [(loop.sink.name, loop.run) for loop in loops]
    if "api" in infra.roles:
        background.append(("signing-key", keys.run))
    accounts = Accounts(
        infra.bus,
        vault,
        UserQueries(autocommit(infra.db)),
        keys.signing_key,
        infra.clock,
        Argon2Passwords(own.logins_waiting),
    )
    routes = AuthRoutes(
        accounts, infra.positions, infra.identity, infra.verifier, own.secure_cookies
    )
    health = Readiness(infra, projections(infra), [loop.retries for loop in loops])
    background += health.background
    app = create_app(
        "auth",
        verifier=infra.verifier,
        health=health,
        settings=settings,
        catch_up=health.catch_up,
        routers=[router(routes)] if "api" in infra.roles else [],
    )
    return Service("auth", app, tuple(background), health)


def _master(settings: AuthSettings) -> bytes:
    try:
        master = base64.b64decode(settings.master_key.get_secret_value(), validate=True)
    except ValueError:
        master = b""
    if len(master) != MASTER_KEY_BYTES:
        raise SettingsError("KERMA_AUTH_MASTER_KEY must be 32 bytes as base64")
    return master
