"""Ids and secrets of new API tokens: random, or made again for a repeated request.

A repetition must give the token once more, whose secret is stored nowhere: it derives from the
master key, the user and the request, like refresh tokens.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from kerma_common.http.idempotency import RequestKey
from kerma_common.security.api_tokens import SECRET_BYTES


@dataclass(frozen=True, slots=True)
class TokenSecrets:
    """Makes ids and secrets. ``master`` is 32 bytes."""

    master: bytes

    def make(self, user_id: str, key: RequestKey | None) -> tuple[str, bytes]:
        """Return the id of a token, 16 hexadecimal digits, and its secret.

        Requests of a user with one key have one id; they have one secret if they are equal.
        """
        if key is None:
            return secrets.token_hex(8), secrets.token_bytes(SECRET_BYTES)
        named = f"{user_id}\n{key.key}"
        token_id = self._derived(b"kerma api token id", named)[:8].hex()
        return token_id, self._derived(b"kerma api token secret", f"{named}\n{key.digest}")

    def _derived(self, purpose: bytes, text: str) -> bytes:
        key = hmac.digest(self.master, purpose, hashlib.sha256)
        return hmac.digest(key, text.encode(), hashlib.sha256)
