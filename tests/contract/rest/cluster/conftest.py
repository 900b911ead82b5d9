"""A running Kerma with a provider of identities and clusters, whose jobs scripts report on."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from anyio.from_thread import start_blocking_portal

from kit.identity.provider import CLIENT, Provider, provider
from kit.inputs.projects import submission
from kit.running.clients.browsers import as_operator, browser, exchange
from kit.running.clients.command_line import run
from kit.running.clients.script import Script, Scripts
from kit.running.whole import Whole, whole


@pytest.fixture(scope="module")
def realm() -> Iterator[Provider]:
    """A provider that answers in a thread of its own."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(provider()) as made:
        yield made


@pytest.fixture(scope="module")
def kerma(realm: Provider) -> Iterator[Whole]:
    """A Kerma for one module, without a cluster at first."""
    settings = {
        "KERMA_AUTH_KEYCLOAK_ISSUER": realm.issuer,
        "KERMA_AUTH_KEYCLOAK_CLIENTS": CLIENT,
        "KERMA_AUTH_FAILURES_BY_ADDRESS": "1000 per hour",
    }
    with whole(**settings) as made:
        made.up()
        yield made


@pytest.fixture(scope="module")
def plgada(kerma: Whole, realm: Provider) -> Iterator[httpx.Client]:
    """A user who came from the provider."""
    with browser(kerma) as client:
        entered = exchange(client, realm.token("plgada"), "plgada")
        assert entered.status_code == 202, entered.text
        yield client


@pytest.fixture(scope="module")
def native(kerma: Whole) -> Iterator[httpx.Client]:
    """A user with a password."""
    who = {"username": "ada", "password": "another long password"}
    with browser(kerma) as client:
        assert client.put("/auth/register", json=who).status_code == 201
        assert client.post("/auth/login", json=who).status_code == 202
        yield client


@pytest.fixture(scope="module")
def unclustered(plgada: httpx.Client) -> dict[str, httpx.Response]:
    """Answers before any cluster was registered: to a submission, and to the list of clusters."""
    body = submission(20, 2, sim_type="shieldhit")
    return {
        "submission": plgada.post("/jobs/batch", json=body),
        "list": plgada.get("/clusters"),
    }


@pytest.fixture(scope="module")
def clusters(kerma: Whole, unclustered: dict[str, httpx.Response]) -> list[str]:
    """Names of the clusters; the first is the one for names that nobody knows."""
    names = ["ares.example", "zeus.example"]
    with as_operator(kerma):
        for name in names:
            ran = run("admin", "add-cluster", name)
            assert ran.code == 0, ran.stderr
    return names


@pytest.fixture(scope="module")
def scripts(kerma: Whole, plgada: httpx.Client, clusters: list[str]) -> Iterator[Scripts]:
    """Scripts on the first cluster, each of a new job."""
    with browser(kerma) as client:
        yield Scripts(kerma, client, plgada)


@pytest.fixture
def script(scripts: Scripts) -> Script:
    """A script of a new job."""
    return scripts.take()


@pytest.fixture(scope="module")
def waiting(scripts: Scripts) -> Iterator[Script]:
    """A script of a job that is as it was submitted: for what is refused."""
    script = scripts.take()
    before = script.status()
    yield script
    assert script.status() == before
