"""A peer that speaks for clients without being trusted is told once, to the log and at readyz."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import httpx
import pytest

from kerma_common.http.app import create_app
from kerma_common.http.policy import Principal
from kerma_common.settings import HttpSettings

FORWARDED = {"X-Forwarded-For": "203.0.113.9"}


async def verify(token: str) -> Principal:
    return Principal("u1", "s1")


async def health() -> Mapping[str, str]:
    return {}


@pytest.mark.parametrize(
    ("peer", "trusted", "headers", "warns"),
    [
        ("192.0.2.1", (), FORWARDED, True),
        ("192.0.2.1", ("192.0.2.2",), FORWARDED, True),
        ("", ("192.0.2.1",), FORWARDED, True),
        ("192.0.2.1", ("192.0.2.0/24",), FORWARDED, False),
        ("2001:db8::1", ("2001:db8::/32", "192.0.2.1"), FORWARDED, False),
        ("192.0.2.1", (), {}, False),
    ],
)
async def test_a_proxy_that_is_not_trusted_is_told_once(
    caplog: pytest.LogCaptureFixture,
    peer: str,
    trusted: tuple[str, ...],
    headers: dict[str, str],
    warns: bool,
) -> None:
    settings = HttpSettings(trusted_proxies=trusted)
    app = create_app("t", verifier=verify, health=health, settings=settings)
    transport = httpx.ASGITransport(app, client=(peer, 1))
    with caplog.at_level(logging.WARNING, "kerma_common.http.forwarding"):
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            for _ in range(3):
                assert (await client.get("/internal/healthz", headers=headers)).status_code == 200
            ready = await client.get("/internal/readyz")
    assert ready.status_code == 200  # a warning takes no replica out of service
    assert len(caplog.records) == (1 if warns else 0)
    told = [record.getMessage() for record in caplog.records]
    assert list(ready.json().get("warnings", {}).values()) == told
    assert all("KERMA_HTTP_TRUSTED_PROXIES" in text and peer in text for text in told)
    assert "203.0.113.9" not in caplog.text  # made up, perhaps
