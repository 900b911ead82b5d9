"""Limits as operators write them."""

from __future__ import annotations

import pytest

from kerma_auth.domain.limits import Limit, parse_limit


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("10 per 5 minutes", Limit(10, 300)),
        ("100 per hour", Limit(100, 3600)),
        (" 1 per second ", Limit(1, 1)),
        ("3 per 2 days", Limit(3, 172800)),
    ],
)
def test_a_limit_is_read(text: str, limit: Limit) -> None:
    assert parse_limit(text) == limit


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10",
        "10/minute",
        "0 per hour",
        "1 per 0 hours",
        "-1 per hour",
        "1 per month",
        "١ per hour",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        parse_limit(text)
