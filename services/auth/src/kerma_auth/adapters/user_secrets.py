"""Ids of first credentials and passwords that operators hand out: random, or made again for a repeated
request, whose answer holds the password that is stored nowhere.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass

from kerma_common.http.idempotency import RequestKey

HALF = 16
"""Hexadecimal digits of an id that are those of the key; the others are those of the request."""
PASSWORD_BYTES = 15
"""Random bytes of a password: 20 characters."""


@dataclass(frozen=True, slots=True)
class DerivedSecrets:
    """See ``UserSecrets``. ``master`` is 32 bytes."""

    master: bytes

    def credential_id(self, actor: str, key: RequestKey | None) -> str:
        """See ``UserSecrets``."""
        if key is None:
            return secrets.token_hex(HALF)
        of_key = self._derived(b"kerma user key", f"{actor}\n{key.key}")
        of_request = self._derived(b"kerma user request", f"{actor}\n{key.key}\n{key.digest}")
        return of_key.hex()[:HALF] + of_request.hex()[:HALF]

    def password(self, credential_id: str, key: RequestKey | None) -> str:
        """See ``UserSecrets``."""
        if key is None:
            return secrets.token_urlsafe(PASSWORD_BYTES)
        made = self._derived(b"kerma user password", f"{credential_id}\n{key.key}\n{key.digest}")
        return base64.urlsafe_b64encode(made[:PASSWORD_BYTES]).decode()

    def _derived(self, purpose: bytes, text: str) -> bytes:
        key = hmac.digest(self.master, purpose, hashlib.sha256)
        return hmac.digest(key, text.encode(), hashlib.sha256)


def key_of(credential_id: str) -> str:
    """Return what the ids of all requests of an actor with one key have in common."""
    return credential_id[:HALF]


def same_key(credential_id: str) -> tuple[str, str]:
    """Return the first and the last id that a request with the same key may have."""
    return key_of(credential_id) + "0" * HALF, key_of(credential_id) + "f" * HALF
