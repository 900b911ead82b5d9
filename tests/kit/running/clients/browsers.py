"""Browsers at a running Kerma, each with its own cookies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from kit.programs.family import PATIENCE
from kit.running.whole import Whole


def browser(kerma: Whole) -> httpx.Client:
    """Return a client without cookies."""
    return httpx.Client(base_url=kerma.running.url, timeout=PATIENCE)


def exchange(client: httpx.Client, token: str, username: object) -> httpx.Response:
    """Exchange a provider's token for a session."""
    headers = {"Authorization": f"Bearer {token}"}
    return client.post("/auth/keycloak", json={"username": username}, headers=headers)


@contextmanager
def as_operator(kerma: Whole) -> Iterator[None]:
    """Have the settings of the running Kerma in the environment meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in kerma.running.settings.items():
            patch.setenv(name, value)
        yield
