"""Hashes of YAPTIDE, made by the library that YAPTIDE uses."""

from __future__ import annotations

import pytest
from werkzeug.security import generate_password_hash

from kerma_auth.adapters.passwords.foreign_hashes import parse_hash


@pytest.mark.parametrize("method", ["scrypt:1024:8:1", "pbkdf2:sha256:1000", "pbkdf2:sha512:10"])
@pytest.mark.parametrize("password", ["secret", "Pässwörd ", ""])
def test_a_hash_matches_its_password_alone(method: str, password: str) -> None:
    found = parse_hash(generate_password_hash(password, method))
    assert found is not None
    assert found.matches(password.encode())
    assert not found.matches((password + " ").encode())


def test_the_default_of_yaptide_is_known() -> None:
    assert parse_hash("scrypt:32768:8:1$" + "aB3" * 5 + "a$" + "0f" * 64) is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "!",
        "plain$salt$secret",
        "scrypt:32768:8:1$salt$zz" + "00" * 32,
        "scrypt:32767:8:1$salt$" + "00" * 64,
        "scrypt:1048576:8:1$salt$" + "00" * 64,
        "scrypt:32768:0:1$salt$" + "00" * 64,
        "scrypt:32768:8:99$salt$" + "00" * 64,
        "scrypt:32768:8:1$salt$" + "00" * 64 + "0",
        "pbkdf2:md5:1000$salt$" + "00" * 32,
        "pbkdf2:sha256:99999999$salt$" + "00" * 32,
        "pbkdf2:sha256:0$salt$" + "00" * 32,
        "scrypt:٣٢:8:1$salt$" + "00" * 64,
    ],
)
def test_other_texts_are_no_hashes(text: str) -> None:
    assert parse_hash(text) is None
