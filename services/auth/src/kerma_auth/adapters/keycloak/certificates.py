"""The service that issues SSH certificates to users of the provider."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificate,
    SSHCertificateType,
    load_pem_private_key,
    load_ssh_private_key,
    load_ssh_public_identity,
)

from kerma_auth.adapters.keycloak.web import NoAnswer, WebClient
from kerma_auth.app.keycloak import NoCertificate, SshCredential

MOST_BYTES = 64 * 1024
LATEST = datetime(9999, 1, 1, tzinfo=UTC)
"""When a certificate without an end expires."""
_RAW = (Encoding.OpenSSH, PublicFormat.OpenSSH)


@dataclass(frozen=True, slots=True)
class SshCertificates:
    """See ``CertificateService``: ``cert`` and ``private`` in a JSON object at ``url``."""

    web: WebClient
    url: str

    async def __call__(self, token: str, now: datetime) -> SshCredential:
        """See ``CertificateService``."""
        try:
            headers = {"Authorization": f"Bearer {token}"}
            found = await self.web.json(self.url, MOST_BYTES, headers)
        except NoAnswer as error:
            raise NoCertificate(f"its service: {error}") from None
        certificate, private = found.get("cert"), found.get("private")
        if not isinstance(certificate, str) or not isinstance(private, str):
            raise NoCertificate("its service: the answer lacks cert or private")
        expires = _end_of(certificate, private)
        if expires <= now:
            raise NoCertificate("its service: the certificate has expired")
        return SshCredential(certificate, private, now, expires)


def _end_of(certificate: str, private: str) -> datetime:
    """Return when a user's certificate for a private key expires. Raises NoCertificate."""
    try:
        found = load_ssh_public_identity(certificate.strip().encode())
        load = load_ssh_private_key if "OPENSSH" in private[:64] else load_pem_private_key
        key = load(private.encode(), None)
        if not isinstance(found, SSHCertificate) or found.type is not SSHCertificateType.USER:
            raise NoCertificate("its service: cert is no certificate of a user")
        own = key.public_key().public_bytes(*_RAW)
        if own != found.public_key().public_bytes(*_RAW):
            raise NoCertificate("its service: the certificate is for another key")
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # the text of the error may quote the key
        raise NoCertificate(f"its service: unreadable ({type(error).__name__})") from None
    end = min(found.valid_before, int(LATEST.timestamp()))
    return datetime.fromtimestamp(end, UTC)
