"""Numbers that are not finite, in JSON that comes in pieces."""

from __future__ import annotations

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerma_common.http.body.tokens import NOT_FINITE, Tokens

TEXTS = st.text(alphabet='NaInfity-"\\ ,[]\n\u00e9', max_size=12)
VALUES = st.recursive(
    TEXTS | st.floats() | st.integers() | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)


def filtered(raw: bytes, step: int) -> bytes:
    tokens = Tokens()
    parts = [tokens.feed(raw[start : start + step]) for start in range(0, len(raw), step)]
    return b"".join([*parts, tokens.end()])


def words(value: object) -> object:
    """Return the value with the texts that stand for numbers that are not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        return next(w for w, n in NOT_FINITE.items() if n == value or (n != n and value != value))
    if isinstance(value, list):
        return [words(one) for one in value]
    return {k: words(one) for k, one in value.items()} if isinstance(value, dict) else value


@given(VALUES, st.integers(1, 9), st.booleans())
def test_only_words_outside_of_texts_change(value: object, step: int, plain: bool) -> None:
    raw = json.dumps(value, ensure_ascii=plain).encode()
    assert json.loads(filtered(raw, step)) == words(value)


@pytest.mark.parametrize("raw", [b"[1.5,-2e-7,3]", b'["NaN","\\\\"]', b"[true,null]", b"{}"])
@pytest.mark.parametrize("step", [1, 2, 100])
def test_json_passes_as_it_is(raw: bytes, step: int) -> None:
    assert filtered(raw, step) == raw


@given(st.binary(max_size=60), st.integers(1, 9))
def test_what_is_no_json_stays_none(raw: bytes, step: int) -> None:
    """Nothing is lost, and only the words are changed."""
    found = re.sub(rb'"\\u0000(-?Infinity|NaN)"', rb"\1", filtered(raw, step))
    assert found == re.sub(rb'"\\u0000(-?Infinity|NaN)"', rb"\1", raw)
