"""Wiring of the auth service."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from kerma_auth.adapters.keycloak.ssh_vault import OVER as CERTIFICATES_OVER
from kerma_auth.adapters.keycloak.ssh_vault import SshVault
from kerma_auth.adapters.logged_jobs import LoggedJobs
from kerma_auth.adapters.passwords.hashes import Argon2Passwords
from kerma_auth.adapters.passwords.throttle import CountingThrottle
from kerma_auth.adapters.passwords.windows import OVER as WINDOWS_OVER
from kerma_auth.adapters.passwords.windows import Windows
from kerma_auth.adapters.refresh_tokens import RefreshTokens
from kerma_auth.adapters.session_vault import OVER as SESSIONS_OVER
from kerma_auth.adapters.session_vault import SessionVault
from kerma_auth.adapters.token_labels import OVER as LABELS_OVER
from kerma_auth.adapters.token_labels import StoredLabels, UseRecorder
from kerma_auth.adapters.token_secrets import TokenSecrets
from kerma_auth.adapters.user_secrets import DerivedSecrets
from kerma_auth.adapters.vault import METADATA as VAULT
from kerma_auth.adapters.vault import SCHEMA as VAULT_SCHEMA
from kerma_auth.adapters.vault import Vault
from kerma_auth.api.documents import router as document_router
from kerma_auth.api.frontend_logs import router as log_router
from kerma_auth.api.keycloak import KeycloakRoutes
from kerma_auth.api.keycloak import router as keycloak_router
from kerma_auth.api.routes import AuthRoutes, router
from kerma_auth.api.sessions import SessionRoutes
from kerma_auth.api.sessions import router as session_router
from kerma_auth.api.tokens import TokenRoutes
from kerma_auth.api.tokens import router as token_router
from kerma_auth.api.users import UserRoutes
from kerma_auth.api.users import router as user_router
from kerma_auth.app.accounts import Accounts
from kerma_auth.app.administration import Administration
from kerma_auth.app.frontend_logs import FrontendLogs
from kerma_auth.app.keycloak import KeycloakLogin
from kerma_auth.app.keys import Keys
from kerma_auth.app.leaving import Names
from kerma_auth.app.removal import Removals
from kerma_auth.app.sessions import PasswordLogin, SessionHandlers
from kerma_auth.app.tokens import ApiTokens
from kerma_auth.domain.passwords import PasswordRules
from kerma_auth.domain.vouching import ClaimRules
from kerma_auth.read.users import USERS, UserQueries
from kerma_auth.settings import AuthSettings, KeycloakSettings
from kerma_common.bus.faststream import EdgeBroker
from kerma_common.commands.lateness import Lateness
from kerma_common.contracts.subjects import user_subject
from kerma_common.db.engine import autocommit
from kerma_common.db.migrated import MigratedSchema
from kerma_common.db.sweeping import Sweeper
from kerma_common.http.app import create_app
from kerma_common.infra import Infra
from kerma_common.projection.router import Projection
from kerma_common.projection.runner import projection_loop
from kerma_common.readiness import Readiness
from kerma_common.service import Background, Service
from kerma_common.settings import HttpSettings, load

if TYPE_CHECKING:
    from kerma_auth.adapters.keycloak.access_tokens import KeycloakTokens
    from kerma_auth.adapters.keycloak.certificates import SshCertificates

MIGRATED = MigratedSchema(VAULT_SCHEMA, (VAULT,))

STALE = (SESSIONS_OVER, LABELS_OVER, WINDOWS_OVER, CERTIFICATES_OVER)
"""Rows of the vault whose time is over."""

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
    keycloak: KeycloakLogin
    removals: Removals
    logs: FrontendLogs


def projections(infra: Infra) -> tuple[Projection, ...]:  # noqa: ARG001 - others need ports
    """Return every read model of the service."""
    return (USERS,)


def build(settings: HttpSettings, infra: Infra, own: AuthSettings | None = None) -> Service:
    """Build the parts of the service that this process runs; ``own`` comes from the environment.

    Raises SettingsError.
    """
    own = own or load(AuthSettings)
    vault = Vault(autocommit(infra.db), own.master, infra.reads)
    keys = _keys(own, infra, vault)
    loops = [
        projection_loop(projection, infra.log, infra.db, infra.positions)
        for projection in projections(infra)
        if "project" in infra.roles
    ]
    background: list[tuple[str, Background]] = [(loop.sink.name, loop.run) for loop in loops]
    if loops:
        background.append(("sweeper", Sweeper("auth", infra.db, STALE).run))
    if "api" in infra.roles:
        background.append(("signing-key", keys.run))
        recorder, broker = UseRecorder(StoredLabels(infra.db)), EdgeBroker(infra.nats)
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
    lateness = Lateness(infra.log, infra.positions, USERS.name, user_subject)
    routers = [
        router(routes),
        keycloak_router(KeycloakRoutes(made.keycloak, routes)),
        user_router(
            UserRoutes(
                made.accounts, made.administration, made.users, made.removals, routes, lateness
            )
        ),
        session_router(SessionRoutes(made.sessions, routes)),
        token_router(TokenRoutes(made.tokens, routes)),
        log_router(made.logs, routes),
        document_router(),
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
    users, sessions = UserQueries(db), SessionVault(db, own.sessions_by_user, own.logins_by_user)
    passwords = Argon2Passwords(own.logins_waiting)
    throttle = CountingThrottle(Windows(db), own.limits, master)
    rules = PasswordRules(own.password_min, own.password_max)
    names = Names(infra.bus, vault, LoggedJobs(infra.log), infra.clock)
    accounts = Accounts(
        infra.bus,
        vault,
        users,
        infra.clock,
        passwords,
        throttle,
        rules,
        DerivedSecrets(master),
        names,
        own.open_registration,
    )
    login = PasswordLogin(vault, users, passwords, throttle)
    opened = SessionHandlers(
        infra.bus, login, sessions, RefreshTokens(master), keys.signing_key, infra.clock
    )

    async def settled(seq: int) -> bool:
        return await infra.positions.wait(USERS.name, "AUTH", seq)

    tokens = _tokens(own, infra, users, throttle, master)
    ssh = SshVault(db, master)
    administration = Administration(
        infra.bus,
        vault,
        passwords,
        sessions,
        login,
        opened,
        rules,
        infra.clock,
        tokens,
        settled,
        ssh,
        users,
    )
    keycloak = KeycloakLogin(
        infra.bus, vault, opened, throttle, ssh, infra.clock, settled, names, *_outside(own)
    )
    removals = Removals(infra.bus, vault, administration, users, tokens, infra.clock)
    logs = FrontendLogs(throttle)
    return Handlers(accounts, opened, administration, tokens, users, keys, keycloak, removals, logs)


def _tokens(
    own: AuthSettings, infra: Infra, users: UserQueries, throttle: CountingThrottle, master: bytes
) -> ApiTokens:
    labels, made = StoredLabels(infra.db), TokenSecrets(master)
    return ApiTokens(infra.bus, labels, users, infra.clock, made, throttle, own.tokens_by_user)


def _outside(own: AuthSettings) -> tuple[KeycloakTokens | None, SshCertificates | None]:
    """Return what asks the provider and the certificate service, None for what is not configured.

    Their modules take an HTTP client, which many deployments do without.
    """
    provider = load(KeycloakSettings)
    if provider.issuer is None:
        return None, None
    from kerma_auth.adapters.keycloak.access_tokens import KeycloakTokens
    from kerma_auth.adapters.keycloak.certificates import SshCertificates
    from kerma_auth.adapters.keycloak.provider_keys import ProviderKeys
    from kerma_auth.adapters.keycloak.web import WebClient

    web = WebClient()
    rules = ClaimRules(frozenset(provider.clients), provider.access_claim, provider.access_value)
    keys = ProviderKeys(web, provider.keys_url)
    certificates = SshCertificates(web, own.cert_url) if own.cert_url else None
    return KeycloakTokens(keys, provider.issuer, rules), certificates


def handlers_of(infra: Infra) -> Handlers:
    """Return the use cases for a command line, which waits for no projection.

    Raises SettingsError.
    """
    own = load(AuthSettings)
    vault = Vault(autocommit(infra.db), own.master, infra.reads)
    return handlers(own, infra, vault, _keys(own, infra, vault))


def _keys(own: AuthSettings, infra: Infra, vault: Vault) -> Keys:
    life = timedelta(days=own.signing_key_days) if own.signing_key_days else None
    return Keys(infra.bus, vault, infra.clock, life)
