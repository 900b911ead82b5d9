"""The synchronous client is the asynchronous one, and is up to date."""

from __future__ import annotations

from kerma_tools.paths import ROOT
from kerma_tools.twins import synchronous_client


def test_the_synchronous_client_is_current_and_awaits_nothing() -> None:
    ((path, content),) = synchronous_client().items()
    assert (ROOT / path).read_bytes() == content, f"{path}: run './kerma generate'"
    words = set(content.decode().replace("(", " ").replace(".", " ").split())
    assert not words & {"async", "await", "asyncio", "asleep", "aclosing", "AsyncGenerator"}
