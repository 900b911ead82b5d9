"""Refresh tokens: ``<session>.<generation>.<code>``, authenticated by a key from the master key.

The n-th token of a session can be made again, so two tabs that refresh at once get the same
successor, and every former token is recognised without being stored.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass

_TOKEN = re.compile(r"([0-9a-f]{32})\.(0|[1-9][0-9]{0,8})\.([A-Za-z0-9_-]{43})", re.ASCII)


@dataclass(frozen=True, slots=True)
class RefreshTokens:
    """Makes and reads refresh tokens. ``master`` is 32 bytes."""

    master: bytes

    def make(self, session_id: str, generation: int) -> str:
        """Return the refresh token of a generation; a login gets generation 0."""
        named = f"{session_id}.{generation}"
        return f"{named}.{self._code(named)}"

    def read(self, token: str) -> tuple[str, int] | None:
        """Return session and generation of a token that ``make`` made, else None."""
        found = _TOKEN.fullmatch(token)
        if found is None:
            return None
        session_id, generation, code = found.groups()
        if not hmac.compare_digest(code, self._code(f"{session_id}.{generation}")):
            return None
        return session_id, int(generation)

    def _code(self, named: str) -> str:
        key = hmac.digest(self.master, b"kerma refresh token", hashlib.sha256)
        code = hmac.digest(key, named.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(code).rstrip(b"=").decode()
