"""Password hashes of YAPTIDE, as ``werkzeug.security`` writes them.

``scrypt:N:r:p$salt$hex`` and ``pbkdf2:hash:iterations$salt$hex``. The salt is text. Parameters are
bounded: a hash comes from another system's database, and each login pays for them.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass

MOST_SCRYPT = 64 << 20
"""Bytes of memory that a scrypt hash may take: N times r times 128."""
MOST_ITERATIONS = 2_000_000
_SALTED = r"\$([ -#%-~]{1,128})\$([0-9a-f]{32,256})"
_SCRYPT = re.compile(r"scrypt:(\d{1,8}):(\d{1,3}):(\d{1,2})" + _SALTED, re.ASCII)
_PBKDF2 = re.compile(r"pbkdf2:(sha1|sha256|sha512):(\d{1,8})" + _SALTED, re.ASCII)


@dataclass(frozen=True, slots=True)
class Scrypt:
    """A hash by scrypt."""

    n: int
    r: int
    p: int
    salt: bytes
    digest: bytes

    def matches(self, password: bytes) -> bool:
        """Return whether a password has this hash."""
        found = hashlib.scrypt(
            password,
            salt=self.salt,
            n=self.n,
            r=self.r,
            p=self.p,
            maxmem=2 * MOST_SCRYPT,
            dklen=len(self.digest),
        )
        return hmac.compare_digest(found, self.digest)


@dataclass(frozen=True, slots=True)
class Pbkdf2:
    """A hash by PBKDF2."""

    name: str
    iterations: int
    salt: bytes
    digest: bytes

    def matches(self, password: bytes) -> bool:
        """Return whether a password has this hash."""
        found = hashlib.pbkdf2_hmac(
            self.name, password, self.salt, self.iterations, len(self.digest)
        )
        return hmac.compare_digest(found, self.digest)


def parse_hash(secret_hash: str) -> Scrypt | Pbkdf2 | None:
    """Return a hash that can be checked, None for any other text."""
    if match := _SCRYPT.fullmatch(secret_hash):
        n, r, p = map(int, match.groups()[:3])
        digest = match[5]
        power_of_two = n > 1 and n & (n - 1) == 0
        if not power_of_two or not r > 0 or 128 * n * r > MOST_SCRYPT or not 0 < p <= 4:
            return None
        return None if len(digest) % 2 else Scrypt(n, r, p, match[4].encode(), _bytes(digest))
    if match := _PBKDF2.fullmatch(secret_hash):
        name, iterations, salt, digest = match.groups()
        if not 0 < int(iterations) <= MOST_ITERATIONS or len(digest) % 2:
            return None
        return Pbkdf2(name, int(iterations), salt.encode(), _bytes(digest))
    return None


def _bytes(digest: str) -> bytes:
    return bytes.fromhex(digest)
