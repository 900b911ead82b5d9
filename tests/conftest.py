"""Fixtures of all tests, and the seed of those that kill processes at random moments."""

from __future__ import annotations

import random

import pytest
from hypothesis import settings

# how long an example takes depends on what else the machine does
settings.register_profile("kerma", deadline=None)
settings.load_profile("kerma")

pytest_plugins = ("kit.running.servers",)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--chaos-seed", type=int, help="Repeat the random moments of a former run.")


def pytest_configure(config: pytest.Config) -> None:
    if config.option.chaos_seed is None:
        config.option.chaos_seed = random.SystemRandom().randrange(10**6)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes by their place: what is compressed or signed may differ from process to process.

    Processes that run tests side by side must collect the same names.
    """
    return argname if isinstance(val, bytes) else None


def pytest_report_header(config: pytest.Config) -> str:
    return f"chaos seed: {config.option.chaos_seed}"


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> random.Random:
    """Random numbers of one test: the same for the same seed, whatever else runs."""
    seed = request.config.option.chaos_seed
    print(f"repeat with: ./kerma test chaos --chaos-seed {seed}")  # shown when the test fails
    return random.Random(f"{seed} {request.node.nodeid}")
