"""Settings from the environment: frozen blocks, prefix `KERMA_`, secrets also from files.

Every secret `KERMA_X` can be given as `KERMA_X_FILE`, the path of a file that holds it (the
convention of container secrets); giving both is an error. There are no default secrets: without
one, `load` raises an error that names the variable.
"""

import os
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

_PUBLIC_FILES = frozenset({"KERMA_ENGINES_FILE"})


class SettingsError(Exception):
    """The environment lacks a setting or holds a wrong one; the text is for the operator."""


class _SecretFiles(PydanticBaseSettingsSource):
    """Source that reads `<NAME>_FILE` variables of secret fields."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the content of the file that a variable names, or None."""
        name = f"{self.config.get('env_prefix', '')}{field_name}".upper()
        path = os.environ.get(f"{name}_FILE")
        if path is None or not _is_secret(field):
            return None, field_name, False
        if name in os.environ:
            raise SettingsError(f"set either {name} or {name}_FILE, not both")
        try:
            return Path(path).read_text().strip(), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{name}_FILE: cannot read {path}: {error}") from None

    def __call__(self) -> dict[str, Any]:
        """Return all secrets that came from files."""
        fields = self.settings_cls.model_fields.items()
        values = {name: self.get_field_value(field, name)[0] for name, field in fields}
        return {name: value for name, value in values.items() if value is not None}


def _is_secret(field: FieldInfo) -> bool:
    return "SecretStr" in str(field.annotation)


class Settings(BaseSettings):
    """Base of all blocks; services subclass it."""

    model_config = SettingsConfigDict(frozen=True, env_prefix="KERMA_", extra="forbid")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: arguments, then variables, then files named by variables."""
        return init_settings, env_settings, _SecretFiles(settings_cls)


class NatsSettings(Settings):
    """The bus. `url` names one or more servers, separated by commas, with user and password."""

    model_config = SettingsConfigDict(env_prefix="KERMA_NATS_")

    url: SecretStr
    credentials: Path | None = None
    """A `.creds` file, instead of user and password in the URL."""
    replicas: int = Field(default=1, ge=1, le=5)

    @model_validator(mode="after")
    def _has_credential(self) -> Self:
        servers = self.url.get_secret_value().split(",")
        if self.credentials is None and not all(urlsplit(url).username for url in servers):
            raise ValueError("names no user and password, and no credentials file is set")
        return self


class PgSettings(Settings):
    """The database: a libpq URL with user and password."""

    model_config = SettingsConfigDict(env_prefix="KERMA_PG_")

    url: SecretStr
    pool_size: int = Field(default=8, ge=1, le=200)
    pool_overflow: int = Field(default=0, ge=0, le=200)
    pool_seconds: float = Field(default=5.0, gt=0)
    """Seconds a request waits for a connection before it gets 503."""
    readers: int = Field(default=8, ge=1, le=200)
    """Further connections, for the reads that pages poll."""
    writers: int = Field(default=4, ge=1, le=200)
    """Further connections, for the small transactions of requests."""
    prepare: bool = True
    """Prepare the statements of all but the pool; off behind a pooler that keeps none."""

    @field_validator("url")
    @classmethod
    def _scheme(cls, url: SecretStr) -> SecretStr:
        if urlsplit(url.get_secret_value()).scheme not in {"postgresql", "postgres"}:
            raise ValueError("must start with postgresql://")
        return url


class BlobSettings(Settings):
    """The blob store: `file:///folder`, or `s3://bucket/prefix` with keys."""

    model_config = SettingsConfigDict(env_prefix="KERMA_BLOB_")

    url: str
    endpoint: str | None = None
    region: str = "us-east-1"
    access_key: SecretStr | None = None
    secret_key: SecretStr | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        parts = urlsplit(self.url)
        if parts.scheme == "s3" and parts.netloc:
            if self.access_key is None or self.secret_key is None:
                raise ValueError("KERMA_BLOB_ACCESS_KEY and KERMA_BLOB_SECRET_KEY must be set")
        elif parts.scheme != "file" or parts.netloc or len(parts.path) < 2:
            raise ValueError("must look like file:///folder or s3://bucket/prefix")
        return self


def private_places() -> tuple[Path, ...]:
    """Return the files and folders in the environment that no engine may read.

    These are the files of secrets, the credentials of the bus and a folder of blobs.
    """
    named = [
        value
        for name, value in os.environ.items()
        if name.startswith("KERMA_") and name.endswith("_FILE") and name not in _PUBLIC_FILES
    ]
    named += filter(None, [os.environ.get("KERMA_NATS_CREDENTIALS")])
    blobs = urlsplit(os.environ.get("KERMA_BLOB_URL", ""))
    named += [unquote(blobs.path)] if blobs.scheme == "file" else []
    return tuple(Path(path) for path in named if path)


class HttpSettings(Settings):
    """The REST edge of one service."""

    model_config = SettingsConfigDict(env_prefix="KERMA_HTTP_")

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    body_limit: int = Field(default=16 * 2**20, gt=0)
    """Largest request body in bytes."""
    stream_limit: int = Field(default=2**30, gt=0)
    """Largest body in bytes where a route reads it piece by piece: delivered results."""
    json_depth: int = Field(default=64, gt=0)
    """Deepest nesting of JSON bodies; projects of the editor stay below 40."""
    upload_memory: int = Field(default=64 * 2**20, gt=0)
    """Bytes that all request bodies may hold in memory together; small ones are not counted."""
    header_limit: int = Field(default=32 * 2**10, ge=1024)
    """Bytes of request line and headers."""
    header_count: int = Field(default=100, ge=10)
    """Number of headers of a request."""
    header_seconds: float = Field(default=10.0, gt=0)
    """From a request's first byte, or from the connection, to the end of its headers."""
    body_seconds: float = Field(default=300.0, gt=0)
    """From the headers to the end of a body that averages less than 1 MiB per second."""
    body_rate: float = Field(default=4096.0, ge=0)
    """Bytes per second that a body must average, after ten seconds."""
    idle_seconds: float = Field(default=75.0, gt=0)
    """Between requests of one connection; longer than gateways keep one, so that they close first.
    """
    send_seconds: float = Field(default=60.0, gt=0)
    """How long a client may leave its response unread."""
    connections: int = Field(default=1024, ge=8)
    """Open connections."""
    connections_per_address: int = Field(default=512, ge=1)
    """Open connections per address."""
    origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins that may call with credentials besides all ports of the own host, by commas."""

    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()
    """Addresses and networks of proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed,
    separated by commas."""

    @field_validator("origins", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip().rstrip("/") for part in value.split(",") if part.strip())
        return value

    @field_validator("origins")
    @classmethod
    def _no_wildcard(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "*" in value:
            raise ValueError("'*' would let every web site act for a user who is logged in")
        for origin in value:
            parts = urlsplit(origin)
            # "null" is the origin of every sandboxed frame; nginx reads "~" as a pattern
            if (
                not parts.hostname
                or "@" in origin
                or origin != f"{parts.scheme}://{parts.netloc}".lower()
            ):
                raise ValueError(f"{origin} must look like https://host or https://host:port")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in value:
            ip_network(proxy)  # raises ValueError
        return value


class UpdateKeySettings(Settings):
    """The keys by which scripts outside Kerma report on jobs."""

    model_config = SettingsConfigDict(env_prefix="KERMA_UPDATE_KEYS_")

    secret: SecretStr | None = None
    """32 bytes as base64; of several, separated by commas, the first signs and all are accepted."""
    days: int = Field(default=7, ge=1, le=365)
    """Days for which a key is valid."""


class TelemetrySettings(Settings):
    """Logs and traces; metrics are always on."""

    model_config = SettingsConfigDict(env_prefix="KERMA_TELEMETRY_")

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    otlp_endpoint: str | None = None
    """Base URL of an OTLP/HTTP collector; no traces leave the process without it."""


Block = TypeVar("Block", bound=Settings)


def load(block: type[Block], **values: Any) -> Block:
    """Build a block from `values` and the environment, or raise one readable `SettingsError`."""
    try:
        return block(**values)
    except ValidationError as error:
        prefix = block.model_config.get("env_prefix", "")
        raise SettingsError("; ".join(_reasons(block, prefix, error))) from None


def _reasons(block: type[Settings], prefix: str, error: ValidationError) -> list[str]:
    """Return one clause per fault; never the value, which may be a secret."""
    reasons = []
    for fault in error.errors(include_input=False, include_url=False):
        field = str(fault["loc"][0]) if fault["loc"] else ""
        name = f"{prefix}{field or 'URL'}".upper()
        if fault["type"] == "missing":
            secret = _is_secret(block.model_fields[field])
            name += f" (or {name}_FILE)" if secret else ""
            reasons.append(f"{name} is not set")
        else:
            reasons.append(f"{name}: {fault['msg'].removeprefix('Value error, ')}")
    return reasons
