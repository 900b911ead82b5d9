"""Logs as they are parsed: a text at a time."""

from __future__ import annotations

import orjson
import pytest

from kerma_results.app.logs import members


@pytest.mark.parametrize("option", [0, orjson.OPT_INDENT_2])
def test_members_are_those_of_the_object(option: int) -> None:
    texts = {"a.log": 'x\n"y", {z}\\', "é": "", "": "\x00\u2028"}
    assert dict(members(orjson.dumps(texts, option=option))) == texts
    assert list(members(b" {} ")) == []


def test_a_text_is_parsed_when_it_is_asked_for() -> None:
    found = members(b'{"a":"x","b":"\\q"}')
    assert next(found) == ("a", "x")
    with pytest.raises(ValueError, match="escape"):
        next(found)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"a":1}',
        b'{"a":"x"',
        b'{"a":"x",}',
        b'{"a":"x"}y',
        b'{"a":"x"};',
        b'{,"a":"x"}',
        b'{"a":"x"{"b":"y"}',
        b"}",
    ],
)
def test_anything_else_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="object"):
        list(members(body))
