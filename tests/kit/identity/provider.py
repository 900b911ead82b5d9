"""A provider of identities shaped like Keycloak, and a service that issues SSH certificates.

It signs with real keys and answers over HTTP. What it does wrong, tests tell it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import orjson
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as new_ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as new_rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    SSHCertificateBuilder,
    SSHCertificateType,
)
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from starlette.types import Receive, Scope, Send

CLIENT = "yaptide-ui"
CERTS = "/auth/realms/plg/protocol/openid-connect/certs"
SSH = "/ssh"
Key = RSAPrivateKey | EllipticCurvePrivateKey


def rsa_key(bits: int = 2048) -> RSAPrivateKey:
    """Return a new key."""
    return new_rsa(65537, bits)


def ec_key() -> EllipticCurvePrivateKey:
    """Return a new key."""
    return new_ec(SECP256R1())


def jwk(kid: str, key: Key, **changed: Any) -> dict[str, Any]:
    """Return the public half as a provider publishes it."""
    if isinstance(key, RSAPrivateKey):
        made, algorithm = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "RS256"
    else:
        made, algorithm = ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "ES256"
    return {**made, "kid": kid, "alg": algorithm, "use": "sig", **changed}


@dataclass
class Answer:
    """What is answered at a path; ``asked`` holds the Authorization header of each request."""

    body: bytes = b"{}"
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    seconds: float = 0.0
    asked: list[str] = field(default_factory=list)


@dataclass
class Provider:
    """A realm with one client. ``keys`` are published, the first one signs."""

    url: str = ""
    keys: dict[str, Key] = field(default_factory=lambda: {"first": rsa_key()})
    certs: Answer = field(default_factory=Answer)
    ssh: Answer = field(default_factory=Answer)

    def __post_init__(self) -> None:
        self.publish()

    @property
    def issuer(self) -> str:
        """Return what tokens have as ``iss``."""
        return f"{self.url}/auth/realms/plg"

    def publish(self) -> None:
        """Answer with the keys of now."""
        listed = [jwk(kid, key) for kid, key in self.keys.items()]
        self.certs.body = orjson.dumps({"keys": listed})

    def rotate(self, kid: str, key: Key | None = None, *, withdraw: bool = False) -> None:
        """Sign with another key from now on."""
        self.keys = {kid: key or rsa_key(), **({} if withdraw else self.keys)}
        self.publish()

    def claims(self, username: str, **changed: Any) -> dict[str, Any]:
        """Return the claims of an access token as Keycloak writes them; None leaves one out."""
        now = time.time()
        claims = {
            "iss": self.issuer,
            "aud": "account",
            "azp": CLIENT,
            "typ": "Bearer",
            "sub": f"sub-of-{username}",
            "preferred_username": username,
            "iat": int(now),
            "exp": int(now) + 300,
            "plgridAccessServices": ["PLG_OTHER", "PLG_YAPTIDE_ACCESS"],
            **changed,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(
        self, username: str, *, key: Key | None = None, kid: str | None = None, **changed: Any
    ) -> str:
        """Return an access token."""
        name = kid or next(iter(self.keys))
        signing = key or self.keys[name]
        algorithm = "RS256" if isinstance(signing, RSAPrivateKey) else "ES256"
        claims = self.claims(username, **changed)
        return jwt.encode(claims, signing, algorithm, headers={"kid": name})

    def certify(self, life: timedelta = timedelta(hours=1), **changed: Any) -> tuple[str, str]:
        """Answer with a new certificate; return it and its private key."""
        certificate, private = ssh_certificate(life)
        self.ssh.body = orjson.dumps({"cert": certificate, "private": private, **changed})
        return certificate, private

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        known = {CERTS: self.certs, SSH: self.ssh}
        answer = known.get(scope["path"], Answer(status=404))
        headers = dict(scope["headers"])
        answer.asked.append(headers.get(b"authorization", b"").decode())
        await asyncio.sleep(answer.seconds)
        sent = [(b"content-length", str(len(answer.body)).encode()), *answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": sent})
        await send({"type": "http.response.body", "body": answer.body})


def ssh_certificate(
    life: timedelta = timedelta(hours=1), kind: SSHCertificateType = SSHCertificateType.USER
) -> tuple[str, str]:
    """Return an SSH certificate and its private key, as texts."""
    own, authority, now = rsa_key(), Ed25519PrivateKey.generate(), datetime.now(UTC)
    builder = (
        SSHCertificateBuilder()
        .public_key(own.public_key())
        .serial(1)
        .type(kind)
        .key_id(b"plgada")
        .valid_principals([b"plgada"])
        .valid_after(int((now - timedelta(days=2)).timestamp()))
        .valid_before(int((now + life).timestamp()))
    )
    private = own.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return builder.sign(authority).public_bytes().decode(), private.decode()


@asynccontextmanager
async def provider() -> AsyncIterator[Provider]:
    """Run a provider on a free port."""
    made = Provider()
    config = uvicorn.Config(made, port=0, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve())
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        made.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        yield made
    finally:
        server.should_exit = True
        server.force_exit = True
        await serving
