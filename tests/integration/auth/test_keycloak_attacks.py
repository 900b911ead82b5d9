"""Tokens and providers that must not let anybody in."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import jwt
import orjson
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kerma_auth.adapters.keycloak import provider_keys, web
from kit.identity.federation import Federation, federation
from kit.identity.provider import CERTS, CLIENT, Provider, jwk, provider, rsa_key
from kit.running.worlds.accounts import login, replica

pytestmark = pytest.mark.asyncio(loop_scope="module")
NO_ACCESS = "User plgada has no access to our service"
NOT_AVAILABLE = {"message": "Service is not available"}


@dataclass
class World:
    """A realm, and services that trust it."""

    realm: Provider
    auth: Federation

    async def refused(self, token: str, username: str = "plgada") -> str:
        answer = await self.auth.exchange(token, username)
        assert answer.status_code == 403, answer.text
        assert not answer.cookies
        return str(answer.json()["message"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    blobs = tmp_path_factory.mktemp("blobs")
    stored: dict[str, Any] = {"nats_url": nats_url, "postgres_url": postgres_url, "blobs": blobs}
    async with provider() as realm, federation(realm.issuer, stored) as auth:
        await auth.enter(realm.token("plgada"), "plgada")
        yield World(realm, auth)


def part(value: object) -> str:
    """Return a part of a token."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


async def test_impersonation_by_the_body_is_refused(world: World) -> None:
    token = world.realm.token("plgeve")
    for name in ("plgada", "PLGEVE", "plgeve ", ""):
        assert await world.refused(token, name) == "The token is not that of this user"


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "some-other-app", "azp": "some-other-app"},
        {"aud": ["account", "some-other-app"], "azp": None},
        {"aud": None, "azp": None},
        {"aud": {CLIENT: 1}, "azp": [CLIENT]},
    ],
)
async def test_a_token_for_another_application_is_refused(
    world: World, changed: dict[str, Any]
) -> None:
    assert "another application" in await world.refused(world.realm.token("plgada", **changed))


async def test_an_audience_of_ours_is_enough_whoever_asked_for_the_token(world: World) -> None:
    for aud in (CLIENT, ["account", "other-ui"]):
        await world.auth.enter(world.realm.token("plgada", aud=aud, azp="a-cli"), "plgada")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"iss": "https://evil.example/auth/realms/plg"}, "issuer"),
        ({"iss": None}, '"iss"'),
        ({"exp": int(time.time()) - 3600}, "Signature has expired"),
        ({"exp": None}, '"exp"'),
        ({"nbf": int(time.time()) + 3600}, "not yet valid"),
        ({"iat": int(time.time()) + 3600}, "not yet valid"),
        ({"preferred_username": None}, "preferred_username"),
        ({"preferred_username": ["plgada"]}, "preferred_username"),
        ({"preferred_username": "plg\nada"}, "preferred_username"),
        ({"preferred_username": "a" * 129}, "preferred_username"),
        ({"typ": "ID"}, "not an access token"),
        ({"typ": None}, "not an access token"),
        ({"plgridAccessServices": None}, NO_ACCESS),
        ({"plgridAccessServices": []}, NO_ACCESS),
        ({"plgridAccessServices": ["PLG_YAPTIDE_ACCESS_NOT"]}, NO_ACCESS),
        ({"plgridAccessServices": "xPLG_YAPTIDE_ACCESSx"}, NO_ACCESS),
        ({"plgridAccessServices": {"PLG_YAPTIDE_ACCESS": True}}, NO_ACCESS),
    ],
)
async def test_a_claim_that_is_wrong_is_refused(
    world: World, changed: dict[str, Any], reason: str
) -> None:
    assert reason in await world.refused(world.realm.token("plgada", **changed))


async def test_a_token_that_has_just_expired_is_accepted_for_differing_clocks(world: World) -> None:
    await world.auth.enter(world.realm.token("plgada", exp=int(time.time()) - 5), "plgada")


async def test_the_signature_comes_before_every_claim(world: World) -> None:
    wrong: list[dict[str, Any]] = [{"plgridAccessServices": []}, {"exp": 1}, {"azp": "other"}]
    for changed in ({}, *wrong):
        forged = world.realm.token("plgada", key=rsa_key(), kid="first", **changed)
        assert await world.refused(forged) == "Invalid token: Signature verification failed"


async def test_an_unsigned_token_is_refused(world: World) -> None:
    claims = world.realm.claims("plgada")
    for alg in ("none", "None", "NONE"):
        head = part({"alg": alg, "kid": "first", "typ": "JWT"})
        for signature in ("", "x"):
            message = await world.refused(f"{head}.{part(claims)}.{signature}")
            assert message.startswith("Invalid token: ")


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
async def test_a_public_key_is_no_secret(world: World, encoding: Encoding) -> None:
    public = world.realm.keys["first"].public_key()
    secret = public.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
    head = part({"alg": "HS256", "kid": "first", "typ": "JWT"})
    signed = f"{head}.{part(world.realm.claims('plgada'))}"
    code = hmac.digest(secret, signed.encode(), hashlib.sha256)
    text = base64.urlsafe_b64encode(code).rstrip(b"=").decode()
    assert "algorithm" in await world.refused(f"{signed}.{text}")


async def test_a_token_brings_no_key_of_its_own(world: World) -> None:
    own = rsa_key()
    theirs = {"jwk": jwk("mine", own), "jku": f"{world.realm.url}/mine", "x5u": "http://127.0.0.1"}
    for kid in ("first", "mine", "../mine", f"{world.realm.url}/mine"):
        asked = list(world.realm.certs.asked)
        token = jwt.encode(
            world.realm.claims("plgada"), own, "RS256", headers={**theirs, "kid": kid}
        )
        assert (await world.refused(token)).startswith("Invalid token: ")
        assert len(world.realm.certs.asked) <= len(asked) + 1


@pytest.mark.parametrize("alg", ["RS512", "PS256", "ES256"])
async def test_a_key_signs_by_its_own_algorithm_alone(world: World, alg: str) -> None:
    head = part({"alg": alg, "kid": "first", "typ": "JWT"})
    token = f"{head}.{part(world.realm.claims('plgada'))}.c2lnbmF0dXJl"
    assert (await world.refused(token)).startswith("Invalid token: ")


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "e30.e30.",
        f"{part({'alg': 'RS256', 'typ': 'JWT'})}.e30.c2ln",
        f"{part({'alg': 'RS256', 'kid': 'k' * 300})}.e30.c2ln",
        f"{part({'alg': 'RS256', 'kid': 7})}.e30.c2ln",
        f"{base64.urlsafe_b64encode(b'[' * 700).decode().rstrip('=')}.e30.c2ln",
        f"{part({'alg': 'RS256', 'kid': 'first'})}.{'a' * 20_000}.c2ln",
    ],
)
async def test_a_malformed_token_is_refused(world: World, token: str) -> None:
    assert (await world.refused(token)).startswith("Invalid token: ")


async def test_made_up_key_ids_do_not_make_auth_ask_again_and_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_keys, "PAUSE_SECONDS", 3600.0)
    key = rsa_key()
    async with replica(world.auth.infra) as fresh:
        before = len(world.realm.certs.asked)
        for number in range(20):
            token = world.realm.token("plgada", key=key, kid=f"made-up-{number}")
            assert (await world.auth.exchange(token, "plgada", fresh)).status_code == 403
        assert len(world.realm.certs.asked) == before + 1


@pytest.mark.parametrize(
    "spoilt",
    [
        {"body": b"[" * 100_000},
        {"body": b'{"keys": 5}'},
        {"body": b'{"keys": [' + b'{"kid":"x"},' * 100 + b'{"kid":"x"}]}'},
        {"body": b'{"keys": [], "filler": "' + b"x" * 300_000 + b'"}'},
        {"status": 503},
        {"status": 302, "headers": ((b"location", CERTS.encode()),)},
        {"seconds": 2.0},
    ],
)
async def test_without_a_usable_answer_of_the_provider_nobody_gets_in(
    world: World, monkeypatch: pytest.MonkeyPatch, spoilt: dict[str, Any]
) -> None:
    monkeypatch.setattr(web, "SECONDS", 0.3)
    for name, value in spoilt.items():
        monkeypatch.setattr(world.realm.certs, name, value)
    async with replica(world.auth.infra) as fresh:
        answer = await world.auth.exchange(world.realm.token("plgada"), "plgada", fresh)
        assert (answer.status_code, answer.json()) == (403, NOT_AVAILABLE)


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_keys_that_must_not_sign_are_not_taken(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    weak, other = rsa_key(1024), rsa_key()
    listed = [
        jwk("weak", weak),
        jwk("encrypts", other, use="enc"),
        jwk("of-another-kind", other, alg="RSA-OAEP"),
        {"kid": "secret", "kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "use": "sig"},
        {"kid": "broken", "kty": "RSA", "n": "!", "e": 7},
        7,
    ]
    monkeypatch.setattr(world.realm.certs, "body", orjson.dumps({"keys": listed}))
    async with replica(world.auth.infra) as fresh:
        for kid, key in (("weak", weak), ("encrypts", other), ("of-another-kind", other)):
            token = world.realm.token("plgada", key=key, kid=kid)
            answer = await world.auth.exchange(token, "plgada", fresh)
            assert answer.json()["message"] == "Invalid token: the provider has no such key"


async def test_a_withdrawn_key_is_forgotten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_keys, "PAUSE_SECONDS", 0.0)
    token = world.realm.token("plgada")
    async with replica(world.auth.infra) as fresh:
        assert (await world.auth.exchange(token, "plgada", fresh)).status_code == 202
        monkeypatch.setattr(world.realm, "keys", world.realm.keys)
        monkeypatch.setattr(world.realm.certs, "body", world.realm.certs.body)
        world.realm.rotate("second", withdraw=True)
        assert (await world.auth.exchange(token, "plgada", fresh)).status_code == 202
        monkeypatch.setattr(provider_keys, "FRESH_SECONDS", 0.0)
        assert (await world.auth.exchange(token, "plgada", fresh)).status_code == 403


async def test_failures_are_counted_by_address_and_lock_nobody_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERMA_AUTH_FAILURES_BY_ADDRESS", "5 per hour")
    forged = world.realm.token("plgada", key=rsa_key(), kid="first")
    good = world.realm.token("plgada")
    async with (
        replica(world.auth.infra, "192.0.2.7") as there,
        replica(world.auth.infra, "192.0.2.8") as elsewhere,
    ):
        answers = [await world.auth.exchange(forged, "plgada", there) for _ in range(5)]
        assert {answer.status_code for answer in answers} == {403}
        throttled = await world.auth.exchange(forged, "plgada", there)
        assert throttled.status_code == 429
        assert int(throttled.headers["retry-after"]) > 3000
        # nobody guesses a token: who has one may share the address with who makes some up
        assert (await world.auth.exchange(good, "plgada", there)).status_code == 202
        assert (await login(there, "plgada")).status_code == 401
        assert (await login(there, "plgada")).status_code == 429
        assert (await world.auth.exchange(good, "plgada", elsewhere)).status_code == 202


async def test_a_user_exchanges_a_bounded_number_of_tokens(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERMA_AUTH_EXCHANGES_BY_USER", "3 per hour")
    async with replica(world.auth.infra, "192.0.2.9") as there:
        answers = [
            await world.auth.exchange(world.realm.token(name), name, there)
            for name in ("plgbusy", "plgbusy", "plgbusy", "plgbusy", "plgcalm")
        ]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 429, 202]
    assert int(answers[3].headers["retry-after"]) > 3500


async def test_a_provider_that_hangs_delays_nobody_who_brings_a_known_key(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_keys, "PAUSE_SECONDS", 0.0)
    async with replica(world.auth.infra) as fresh:
        good = world.realm.token("plgada")
        assert (await world.auth.exchange(good, "plgada", fresh)).status_code == 202
        monkeypatch.setattr(world.realm.certs, "seconds", 60.0)
        asked = len(world.realm.certs.asked)
        unknown = world.realm.token("plgada", key=rsa_key(), kid="unknown")
        hanging = asyncio.ensure_future(world.auth.exchange(unknown, "plgada", fresh))
        while len(world.realm.certs.asked) == asked:
            await asyncio.sleep(0.01)
        assert (await world.auth.exchange(good, "plgada", fresh)).status_code == 202
        assert not hanging.done()
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)
