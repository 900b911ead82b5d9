"""Update keys: scope, expiry, rotation of the secret, and what is refused."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kerma_common.errors import InvalidRequest, Unavailable
from kerma_common.security import tokens
from kerma_common.security.update_keys import UpdateKeys, Verb, load_update_keys
from kerma_common.settings import SettingsError

NOW = datetime(2026, 11, 22, 12, 0, 0, 250_000, tzinfo=UTC)
OLD, NEW = bytes(32), bytes(range(32))
JOB = "20261122-120000-00000000-0000-0000-0000-000000000000BATCH"


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def keys(*secrets: bytes, clock: Clock | None = None) -> UpdateKeys:
    return UpdateKeys(secrets, timedelta(days=7), clock or Clock())


def reasons(made: UpdateKeys, key: object, number: object = 4, verb: Verb = Verb.TASKS) -> Any:
    with pytest.raises(InvalidRequest) as refused:
        made.verify(key, number, verb)
    return refused.value.fields


def test_a_key_names_its_job_and_is_accepted_by_every_replica() -> None:
    text, expires = keys(NEW).issue(JOB, 4)
    found = keys(NEW).verify(text, 4, Verb.RESULTS)
    assert (found.job_id, found.simulation_id, found.expires) == (JOB, 4, expires)
    assert expires == NOW.replace(microsecond=0) + timedelta(days=7)
    assert found.issued_at == NOW


def test_a_key_is_for_one_job() -> None:
    text, _ = keys(NEW).issue(JOB, 4)
    assert reasons(keys(NEW), text, 5) == {"update_key": ["The key is not for this simulation_id."]}
    assert reasons(keys(NEW), text, "4") == {"simulation_id": ["Not a valid integer."]}
    assert reasons(keys(NEW), text, True) == {"simulation_id": ["Not a valid integer."]}


def test_a_key_allows_its_verbs_only() -> None:
    text, _ = keys(NEW).issue(JOB, 4, frozenset({Verb.TASKS}))
    assert keys(NEW).verify(text, 4, Verb.TASKS).verbs == {Verb.TASKS}
    assert reasons(keys(NEW), text, verb=Verb.JOB) == {
        "update_key": ["The key does not allow this."]
    }


def test_a_key_expires_though_it_is_remembered() -> None:
    clock = Clock()
    made = keys(NEW, clock=clock)
    text, expires = made.issue(JOB, 4)
    made.verify(text, 4, Verb.TASKS)
    clock.now = expires
    assert reasons(made, text) == {"update_key": ["The key has expired."]}


def test_keys_of_a_former_secret_are_accepted_while_it_is_listed() -> None:
    text, _ = keys(OLD).issue(JOB, 4)
    assert keys(NEW, OLD).verify(text, 4, Verb.TASKS).job_id == JOB
    assert reasons(keys(NEW), text) == {"update_key": ["The key is not valid."]}


def test_a_key_is_void_from_a_later_revocation_on() -> None:
    found = keys(NEW).verify(keys(NEW).issue(JOB, 4)[0], 4, Verb.TASKS)
    assert not found.void_since(None)
    assert not found.void_since(NOW)
    assert found.void_since(NOW + timedelta(microseconds=1))


def test_without_a_secret_no_key_is_issued_and_none_is_accepted() -> None:
    with pytest.raises(Unavailable):
        keys().issue(JOB, 4)
    assert reasons(keys(), keys(NEW).issue(JOB, 4)[0]) == {"update_key": ["The key is not valid."]}


def test_an_access_token_is_no_update_key_and_the_reverse() -> None:
    signing = tokens.SigningKey("k", Ed25519PrivateKey.generate())
    access, _ = tokens.issue(signing, "u1", "s1", (), datetime.now(UTC))
    assert set(reasons(keys(NEW), access)) == {"update_key"}
    update, _ = keys(NEW).issue(JOB, 4)
    with pytest.raises(jwt.InvalidTokenError):
        tokens.verify(update, "k", signing.private.public_key())


def forged(changes: dict[str, Any], header: dict[str, Any], secret: bytes = NEW) -> str:
    genuine, _ = keys(NEW).issue(JOB, 4)
    claims = jwt.decode(genuine, options={"verify_signature": False}) | changes
    given = jwt.get_unverified_header(genuine) | header
    return jwt.encode(claims, secret, given["alg"], headers=given)


@pytest.mark.parametrize(
    "key",
    [
        forged({}, {}, secret=OLD),
        forged({"aud": "kerma"}, {}),
        forged({"iss": "other"}, {}),
        forged({"verbs": ["everything"]}, {}),
        forged({"sim": "x"}, {}),
        forged({"sub": 4}, {}),
        forged({"iat": (NOW + timedelta(hours=1)).timestamp()}, {}),
        forged({}, {"typ": "JWT"}),
        forged({}, {"kid": "unknown"}),
        ".".join(keys(NEW).issue(JOB, 4)[0].split(".")[:2]) + ".",
        keys(NEW).issue(JOB, 4)[0].swapcase(),
        "a" * 5000,
        "",
        None,
        7,
        "\ud800",
    ],
)
def test_forged_keys_are_refused(key: object) -> None:
    made = keys(NEW)
    assert set(reasons(made, key)) == {"update_key"}
    assert set(reasons(made, key)) == {"update_key"}


def test_a_key_without_a_signature_is_refused() -> None:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    genuine, _ = keys(NEW).issue(JOB, 4)
    head = part({"alg": "none", "typ": "kerma-update+jwt"})
    body = genuine.split(".")[1]
    assert set(reasons(keys(NEW), f"{head}.{body}.")) == {"update_key"}
    assert set(reasons(keys(NEW), f"{head}.{body}.{'A' * 43}")) == {"update_key"}


def test_secrets_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    both = ",".join(base64.b64encode(secret).decode() for secret in (NEW, OLD))
    monkeypatch.setenv("KERMA_UPDATE_KEYS_SECRET", both)
    monkeypatch.setenv("KERMA_UPDATE_KEYS_DAYS", "1")
    made = load_update_keys(Clock())
    assert (made.secrets, made.life) == ((NEW, OLD), timedelta(days=1))
    monkeypatch.setenv("KERMA_UPDATE_KEYS_SECRET", "short")
    with pytest.raises(SettingsError):
        load_update_keys(Clock())
