"""Names of tests: the same in each of the processes that run them side by side."""

from __future__ import annotations

import os

import pytest


@pytest.mark.parametrize("noise", [os.urandom(8)])
def test_bytes_are_named_by_their_place(request: pytest.FixtureRequest, noise: bytes) -> None:
    assert len(noise) == 8
    assert request.node.name == "test_bytes_are_named_by_their_place[noise]"
