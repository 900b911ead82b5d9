"""Update keys: by one, scripts outside Kerma report on one job.

An update key is a JWT in the field ``update_key`` of a request body. It is signed with a secret that
all replicas of the services share (``KERMA_UPDATE_KEYS_SECRET``), so a restart does not void it. It
names the job, the job's number in such bodies (``simulation_id``: the sequence in JOBS of the job's
first commit) and what it allows (``Verb``). Access tokens are signed with other keys, by another
algorithm, for another audience: neither passes for the other.

``UpdateKeys.verify`` checks what the key itself says. Whoever accepts a report must also refuse it

- if the job is cancelled, deleted or unknown: keys end with their job;
- if ``key.void_since(not_before)`` for the last ``UpdateKeysRevoked`` of the job.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import jwt

from kerma_common.errors import WRONG_DATA, InvalidRequest, Unavailable
from kerma_common.security.tokens import CLOCK_SKEW, ISSUER
from kerma_common.settings import SettingsError, UpdateKeySettings, load

AUDIENCE = "kerma-updates"
ALGORITHM = "HS256"
TYPE = "kerma-update+jwt"
SECRET_BYTES = 32
MOST_KEY = 2048
REMEMBERED = 4096
"""Verified keys that are remembered, about 1 kB each."""
FIELD = "update_key"
NOT_SET_UP = "Update keys are not set up: an operator must set KERMA_UPDATE_KEYS_SECRET"
_KEY = re.compile(r"[A-Za-z0-9_-]{1,512}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}", re.ASCII)


class Verb(StrEnum):
    """What a key allows to report."""

    TASKS = "tasks"
    JOB = "job"
    RESULTS = "results"
    LOGS = "logs"


@dataclass(frozen=True, slots=True)
class UpdateKey:
    """What a verified key says."""

    job_id: str
    simulation_id: int
    verbs: frozenset[Verb]
    issued_at: datetime
    expires: datetime

    def void_since(self, not_before: datetime | None) -> bool:
        """Return whether a revocation of the job's keys up to ``not_before`` concerns this one."""
        return not_before is not None and self.issued_at < not_before


@dataclass(slots=True)
class UpdateKeys:
    """Issues and verifies keys. The first of ``secrets`` signs, all are accepted."""

    secrets: Sequence[bytes]
    life: timedelta
    clock: Callable[[], datetime]
    _secrets: dict[str, bytes] = field(init=False)
    _verified: OrderedDict[bytes, UpdateKey] = field(default_factory=OrderedDict, init=False)

    def __post_init__(self) -> None:
        self._secrets = {_name(secret): secret for secret in self.secrets}

    def issue(
        self, job_id: str, simulation_id: int, verbs: frozenset[Verb] = frozenset(Verb)
    ) -> tuple[str, datetime]:
        """Issue a key; return it with its expiry. Raises Unavailable without a secret."""
        if not self.secrets:
            raise Unavailable(NOT_SET_UP)
        now = self.clock()
        expires = (now + self.life).replace(microsecond=0)
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": job_id,
            "sim": simulation_id,
            "verbs": sorted(verbs),
            "iat": now.timestamp(),
            "exp": int(expires.timestamp()),
        }
        secret = self.secrets[0]
        headers = {"kid": _name(secret), "typ": TYPE}
        return jwt.encode(claims, secret, ALGORITHM, headers=headers), expires

    def verify(
        self, text: object, simulation_id: object, verb: Verb, *, number: str = "simulation_id"
    ) -> UpdateKey:
        """Return a key that allows ``verb`` for the job of this number.

        Raises InvalidRequest naming the field, of which ``number`` is the one of the job.
        """
        if not isinstance(simulation_id, int) or isinstance(simulation_id, bool):
            raise _refused(number, "Not a valid integer.")
        if not isinstance(text, str):
            raise _refused(FIELD, "Not a valid string.")
        key = self._known(text)
        if key.expires <= self.clock():
            raise _refused(FIELD, "The key has expired.")
        if key.simulation_id != simulation_id:
            raise _refused(FIELD, f"The key is not for this {number}.")
        if verb not in key.verbs:
            raise _refused(FIELD, "The key does not allow this.")
        return key

    def _known(self, text: str) -> UpdateKey:
        # The hash stands for the key, so that no usable key stays in memory.
        name = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        if (key := self._verified.get(name)) is None:
            key = self._read(text)
            self._verified[name] = key
            if len(self._verified) > REMEMBERED:
                self._verified.popitem(last=False)
        return key

    def _read(self, text: str) -> UpdateKey:
        """Return what a signed key says, whether expired or not. Raises InvalidRequest."""
        # Check before parsing: JSON of a long header could be nested without end.
        if len(text) > MOST_KEY or not _KEY.fullmatch(text):
            raise _refused(FIELD, "The key is malformed.")
        try:
            header = jwt.get_unverified_header(text)
            secret = self._secrets.get(str(header.get("kid")))
            if secret is None or header.get("typ") != TYPE:
                raise jwt.InvalidTokenError
            claims = jwt.decode(
                text,
                secret,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={
                    "require": ["exp", "iat", "sub", "sim", "verbs"],
                    "verify_iat": False,
                    "verify_exp": False,
                },
            )
            return self._checked(claims)
        except (jwt.InvalidTokenError, ValueError, TypeError):
            raise _refused(FIELD, "The key is not valid.") from None

    def _checked(self, claims: dict[str, Any]) -> UpdateKey:
        issued_at = datetime.fromtimestamp(claims["iat"], UTC)
        if issued_at > self.clock() + CLOCK_SKEW:
            raise jwt.ImmatureSignatureError
        return UpdateKey(
            claims["sub"],
            int(claims["sim"]),
            frozenset(Verb(verb) for verb in claims["verbs"]),
            issued_at,
            datetime.fromtimestamp(claims["exp"], UTC),
        )


def load_update_keys(clock: Callable[[], datetime]) -> UpdateKeys:
    """Return the keys that the environment sets up. Raises SettingsError."""
    own = load(UpdateKeySettings)
    listed = own.secret.get_secret_value().split(",") if own.secret else []
    return UpdateKeys(tuple(map(decoded_secret, listed)), timedelta(days=own.days), clock)


def decoded_secret(text: str) -> bytes:
    """Return a secret as the setting holds it. Raises SettingsError."""
    try:
        secret = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise SettingsError(
            "KERMA_UPDATE_KEYS_SECRET must be 32 bytes as base64; several are separated by commas"
        )
    return secret


def _name(secret: bytes) -> str:
    """Return the name by which keys refer to a secret; it reveals nothing of 32 random bytes."""
    return hashlib.sha256(b"update-keys\x1f" + secret).hexdigest()[:16]


def _refused(name: str, reason: str) -> InvalidRequest:
    return InvalidRequest(WRONG_DATA, {name: [reason]})
