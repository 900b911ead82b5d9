"""Peers that speak for clients without being trusted are told, to the log and at readyz, once an hour."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import httpx
import pytest

from kerma_common.http.app import create_app
from kerma_common.http.forwarding import MOST_TOLD, NAME, TOLD_SECONDS, Proxies, Watched
from kerma_common.http.policy import Principal
from kerma_common.settings import HttpSettings

FORWARDED = {"X-Forwarded-For": "203.0.113.9"}
LOGGER = "kerma_common.http.forwarding"


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
    with caplog.at_level(logging.WARNING, LOGGER):
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


class Told:
    """Proxies at a time that the test sets, and the peers that they told."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.now = 0.0
        self.proxies = Proxies(("192.0.2.2",), lambda: self.now)
        self._caplog = caplog

    def look(self, *peers: str) -> list[str]:
        """Return whom requests of these peers make it tell."""
        self._caplog.clear()
        for peer in peers:
            headers = [(NAME, b"203.0.113.9")]
            self.proxies.look({"type": "http", "headers": headers, "client": (peer, 1)})
        return [record.getMessage().split()[2] for record in self._caplog.records]


def test_a_stranger_does_not_use_up_the_warning_about_the_proxy(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = Told(caplog)
    assert told.look("198.51.100.1", "192.0.2.1", "192.0.2.2") == ["198.51.100.1", "192.0.2.1"]
    assert set(told.proxies.warnings) == {"proxy 198.51.100.1", "proxy 192.0.2.1"}
    told.now = TOLD_SECONDS - 1
    assert told.look("192.0.2.1", "198.51.100.1") == []
    told.now = TOLD_SECONDS
    assert told.look("192.0.2.1", "192.0.2.1") == ["192.0.2.1"]


def test_who_speaks_for_clients_no_longer_is_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    told = Told(caplog)
    told.look("192.0.2.1")
    told.now = 2 * TOLD_SECONDS - 1
    assert list(told.proxies.warnings) == ["proxy 192.0.2.1"]
    told.now = 2 * TOLD_SECONDS
    assert told.proxies.warnings == {}
    assert told.look("192.0.2.1") == ["192.0.2.1"]


STRANGERS = [f"198.51.{number // 256}.{number % 256}" for number in range(1000)]


def test_many_strangers_do_not_fill_log_and_memory(caplog: pytest.LogCaptureFixture) -> None:
    told = Told(caplog)
    assert len(told.look("192.0.2.1", *STRANGERS)) == MOST_TOLD
    assert len(told.proxies.warnings) == MOST_TOLD
    told.now = 2 * TOLD_SECONDS
    assert told.look("192.0.2.1") == ["192.0.2.1"]


def test_strangers_cannot_hide_the_proxy(caplog: pytest.LogCaptureFixture) -> None:
    told = Told(caplog)
    told.look(*STRANGERS[:MOST_TOLD])  # they use up the lines of this hour
    for number, stranger in enumerate(STRANGERS):
        told.look(stranger)
        if number % 10 == 0:
            assert told.look("192.0.2.1") == []
    assert "proxy 192.0.2.1" in told.proxies.warnings
    told.now = TOLD_SECONDS
    assert told.look(*(f"203.0.113.{number}" for number in range(200))) == []
    assert told.look("192.0.2.1") == ["192.0.2.1"]


async def test_a_gateway_in_the_same_process_tells_it_for_all_services(
    caplog: pytest.LogCaptureFixture,
) -> None:
    proxies = Proxies(())
    service = create_app("s", verifier=verify, health=health, settings=HttpSettings())
    whole = create_app(
        "w", verifier=verify, health=health, settings=HttpSettings(), proxies=proxies
    )
    with caplog.at_level(logging.WARNING, LOGGER):
        for app in (service, whole):
            transport = httpx.ASGITransport(Watched(app, proxies), client=("192.0.2.1", 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                await client.get("/jobs", headers=FORWARDED)
                ready = await client.get("/internal/readyz")
    assert len(caplog.records) == 1
    assert list(ready.json()["warnings"]) == ["proxy 192.0.2.1"]
