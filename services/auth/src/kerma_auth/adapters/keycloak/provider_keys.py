"""The public keys of the OpenID Connect provider, cached.

Only one address is ever asked, that of the settings; nothing in a token chooses it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from kerma_auth.adapters.keycloak.web import NoAnswer, WebClient

ALGORITHMS = ("RS256", "ES256")
"""The signatures that are accepted; a secret that is shared with the provider is none of them."""
FRESH_SECONDS = 300.0
"""Age at which the keys are fetched again, so that withdrawn ones are forgotten."""
PAUSE_SECONDS = 5.0
"""Least time between two fetches, whatever key ids strangers make up."""
MOST_BYTES = 256 * 1024
MOST_KEYS = 64
LEAST_RSA_BITS = 2048
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class ProviderKeys:
    """Keys by id. ``clock`` is monotonic, in seconds."""

    web: WebClient
    url: str
    clock: Callable[[], float] = time.monotonic
    _keys: dict[str, jwt.PyJWK] = field(default_factory=dict, init=False)
    _fetched: float | None = field(default=None, init=False)
    _tried: float | None = field(default=None, init=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def key(self, kid: str) -> jwt.PyJWK | None:
        """Return the key with this id, None if the provider has none.

        Raises NoAnswer if the provider does not answer and the key is not among those known.
        """
        # Who brings a known key does not wait for a fetch that goes on already.
        if self._is_wanted(kid) and not (kid in self._keys and self._lock.locked()):
            async with self._lock:
                if self._is_wanted(kid):
                    await self._fetch()
        if kid not in self._keys and self._tried != self._fetched:
            raise NoAnswer(f"{self.url} did not answer at the last attempt")
        return self._keys.get(kid)

    def _is_wanted(self, kid: str) -> bool:
        """Return whether a fetch is due."""
        due = kid not in self._keys or self._older(self._fetched, FRESH_SECONDS)
        return due and self._older(self._tried, PAUSE_SECONDS)

    def _older(self, moment: float | None, seconds: float) -> bool:
        return moment is None or self.clock() - moment >= seconds

    async def _fetch(self) -> None:
        self._tried = self.clock()
        try:
            found = await self.web.json(self.url, MOST_BYTES)
            self._keys = _keys_in(found)
        except NoAnswer as error:
            logger.warning("the provider's keys cannot be fetched: %s", error)
            return
        self._fetched = self._tried


def _keys_in(found: Mapping[str, Any]) -> dict[str, jwt.PyJWK]:
    """Return the keys of a JSON Web Key Set that may sign. Raises NoAnswer."""
    listed = found.get("keys")
    if not isinstance(listed, list) or len(listed) > MOST_KEYS:
        raise NoAnswer("the answer is no set of keys")
    usable = {}
    for entry in listed:
        if isinstance(entry, dict) and isinstance(entry.get("kid"), str):
            key = _usable(entry)
            if key is not None:
                usable[entry["kid"]] = key
    return usable


def _usable(entry: dict[str, Any]) -> jwt.PyJWK | None:
    """Return a key if it is of a kind that is accepted."""
    expected = {"RSA": "RS256", "EC": "ES256"}.get(str(entry.get("kty")))
    if expected is None or entry.get("use", "sig") != "sig":
        return None
    if entry.get("alg", expected) != expected:
        return None
    try:
        key = jwt.PyJWK(entry, expected)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if isinstance(key.key, RSAPublicKey):
        return key if key.key.key_size >= LEAST_RSA_BITS else None
    return key if _is_p256(key.key) else None


def _is_p256(key: object) -> bool:
    return isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
