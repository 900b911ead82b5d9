"""Settings that only auth needs."""

from __future__ import annotations

import base64
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from kerma_auth.adapters.passwords.throttle import Limits
from kerma_auth.app.accounts import MAX_PASSWORD
from kerma_auth.domain.limits import parse_limit
from kerma_common.settings import Settings, SettingsError

MASTER_KEY_BYTES = 32


class AuthSettings(Settings):
    """Accounts, sessions and keys."""

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
    """Failed logins from one address; beyond them, names that have failed from there must wait."""
    failures_by_address_in_all: str = "1000 per hour"
    """Failed logins from one address, after which nobody logs in from there with a password."""
    registrations_by_address: str = "300 per hour"
    """Registrations from one address."""
    logs_by_sender: str = "60 per minute"
    """Requests with logs of a frontend, from a user, or from an address without one."""
    exchanges_by_user: str = "300 per hour"
    """Tokens of the OpenID Connect provider that one user exchanges for a session."""
    token_creations_by_user: str = "60 per hour"  # noqa: S105 - a rate, no secret
    """API tokens that one user creates."""
    tokens_by_user: int = Field(default=50, ge=1, le=10_000)
    """Valid API tokens of one user; every process keeps all tokens in memory."""
    sessions_by_user: int = Field(default=100, ge=1, le=100_000)
    """Sessions of one user; with a further login, the one that was used longest ago ends."""
    logins_by_user: int = Field(default=2000, ge=1, le=1_000_000)
    """Sessions that one user may open in the two hours that a session lasts."""

    @field_validator(
        "failures_by_name_and_address",
        "failures_by_name",
        "failures_by_address",
        "failures_by_address_in_all",
        "registrations_by_address",
        "logs_by_sender",
        "exchanges_by_user",
        "token_creations_by_user",
    )
    @classmethod
    def _is_limit(cls, value: str) -> str:
        parse_limit(value)
        return value

    cert_url: str | None = None
    """Address of the service that issues SSH certificates to users of Keycloak; none without it."""

    @field_validator("cert_url")
    @classmethod
    def _is_safe(cls, value: str | None) -> str | None:
        return None if value is None else safe_url(value)

    @property
    def master(self) -> bytes:
        """Return the master key. Raises SettingsError."""
        try:
            master = base64.b64decode(self.master_key.get_secret_value(), validate=True)
        except ValueError:
            master = b""
        if len(master) != MASTER_KEY_BYTES:
            raise SettingsError("KERMA_AUTH_MASTER_KEY must be 32 bytes as base64")
        return master

    @property
    def limits(self) -> Limits:
        """Return the limits on attempts in a time."""
        return Limits(
            parse_limit(self.failures_by_name_and_address),
            parse_limit(self.failures_by_name),
            parse_limit(self.failures_by_address),
            parse_limit(self.failures_by_address_in_all),
            parse_limit(self.registrations_by_address),
            parse_limit(self.logs_by_sender),
            parse_limit(self.exchanges_by_user),
            parse_limit(self.token_creations_by_user),
        )


class KeycloakSettings(Settings):
    """The OpenID Connect provider whose users may log in; none unless ``issuer`` is set."""

    model_config = SettingsConfigDict(env_prefix="KERMA_AUTH_KEYCLOAK_")

    issuer: str | None = None
    """What its tokens have as ``iss``: ``https://sso.example.org/auth/realms/plgrid``."""
    jwks_url: str | None = None
    """Where its keys are, unless below the issuer where Keycloak has them."""
    clients: Annotated[tuple[str, ...], NoDecode] = Field(default=(), validate_default=True)
    """Clients whose tokens are accepted, separated by commas: one is in ``aud``, or is ``azp``."""
    access_claim: str = Field(default="plgridAccessServices", min_length=1)
    """The claim that says what its user may use; dots lead into claims: ``realm_access.roles``."""
    access_value: str = Field(default="PLG_YAPTIDE_ACCESS", min_length=1)
    """What that claim has to contain."""

    @field_validator("issuer", "jwks_url")
    @classmethod
    def _is_safe(cls, value: str | None) -> str | None:
        return None if value is None else safe_url(value)

    @field_validator("clients", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("clients")
    @classmethod
    def _some(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if info.data.get("issuer") is not None and not value:
            raise ValueError("must be set, or every application of the provider could log in")
        return value

    @property
    def keys_url(self) -> str:
        """Return where the provider's keys are."""
        return self.jwks_url or f"{(self.issuer or '').rstrip('/')}/protocol/openid-connect/certs"


def safe_url(url: str) -> str:
    """Return an address to which tokens may be sent. Raises ValueError."""
    parts = urlsplit(url)
    if not parts.hostname or parts.username is not None or parts.query or parts.fragment:
        raise ValueError("must look like https://host/path")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_here(parts.hostname)):
        raise ValueError("must start with https://, or name this machine")
    return url


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
