"""A running Kerma, two users and a job of one of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from kit.inputs.projects import submission
from kit.programs.family import PATIENCE
from kit.running.clients.visitor import Visitor
from kit.running.whole import Whole, whole

PRIMARIES, TASKS = 200, 2


@pytest.fixture(scope="module")
def kerma() -> Iterator[Whole]:
    """A Kerma for one module: other tests look at all processes of theirs."""
    with whole(KERMA_AUTH_FAILURES_BY_ADDRESS="1000 per hour") as made:
        made.up()
        yield made


@pytest.fixture(scope="module")
def ada(kerma: Whole) -> Iterator[Visitor]:
    """The user who owns ``job``."""
    visitor = kerma.visitor().enter()
    yield visitor
    visitor.close()


@pytest.fixture(scope="module")
def eve(kerma: Whole) -> Iterator[httpx.Client]:
    """Another user, logged in."""
    name = {"username": "eve", "password": "another long password"}
    with httpx.Client(base_url=kerma.running.url, timeout=PATIENCE) as client:
        assert client.put("/auth/register", json=name).status_code == 201
        assert client.post("/auth/login", json=name).status_code == 202
        yield client


@pytest.fixture
def nobody(kerma: Whole) -> Iterator[httpx.Client]:
    """A client without cookies."""
    with httpx.Client(base_url=kerma.running.url, timeout=PATIENCE) as client:
        yield client


@pytest.fixture(scope="module")
def body() -> dict[str, Any]:
    """A submission of an editor project."""
    return submission(PRIMARIES, TASKS, title="Proton pencil beam")


@pytest.fixture(scope="module")
def job(ada: Visitor, body: dict[str, Any]) -> str:
    """A completed job of ``ada``."""
    made = ada.submit(body)
    ada.until(made, "COMPLETED")
    return made
