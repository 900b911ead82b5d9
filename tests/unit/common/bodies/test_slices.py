"""Bodies that are parsed in slices: as in one piece, and never for long at a time."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import orjson
import pytest

from kerma_common.errors import InvalidRequest
from kerma_common.http.body.heads import TWICE
from kerma_common.http.body.json_body import parse
from kerma_common.http.body.slices import SLICE, VALUES, parse_in_slices

DEPTH, MOST = 5, 100_000


def read(body: bytes) -> dict[str, Any]:
    return asyncio.run(parse_in_slices(body, DEPTH, MOST))


def outcome(body: bytes, parsed: Any) -> object:
    """Return what is read of a body, or what is said against it."""
    try:
        return parsed(body)
    except InvalidRequest as refused:
        return refused.message, refused.fields


NESTED = {"a": {"b": {"c": {"d": 1}}}}
BODIES: tuple[dict[str, Any], ...] = (
    {},
    {"": ""},
    {"a": [], "b": [[]], "c": [[[[1]]]]},
    {"a": [[[[[]]]]]},
    {"a": [{"b": {"c": {"d": {}}}}]},
    NESTED,
    {"a": NESTED},
    {"a": 2**53, "b": -1.5e-300, "c": [None, True, False, 0, 1.0], "d": '\\"{[,:\u1234\U0001f600'},
    {"\0": 1},
    {"a": "\0"},
    {"a": {"b": [{"c\0": 1}]}},
    {"tasks": [{"task_id": 1}, {"note": "\0"}]},
)


@pytest.mark.parametrize("found", BODIES, ids=range(len(BODIES)))
def test_a_body_is_read_as_in_one_piece(found: dict[str, Any]) -> None:
    body = orjson.dumps(found)
    assert outcome(body, read) == outcome(body, lambda text: parse(text, DEPTH))


@pytest.mark.parametrize(
    "body", [b"[]", b"4", b" ", b"{", b'{"a":1}x', b'{"a":NaN}', b'{"a":"\xff"}', b'{"a":[1,]}']
)
def test_what_is_no_object(body: bytes) -> None:
    assert outcome(body, read) == outcome(body, lambda text: parse(text, DEPTH))


def test_a_member_that_comes_twice_is_named() -> None:
    body = b'{"key":1,"tasks":[' + b"1," * SLICE + b'1],"key":2}'
    with pytest.raises(InvalidRequest) as refused:
        asyncio.run(parse_in_slices(body, DEPTH, 10 * SLICE))
    assert refused.value.fields == {"key": [TWICE]}


def test_values_are_bounded() -> None:
    with pytest.raises(InvalidRequest, match="more than 100000 values"):
        read(b'{"tasks":[' + b"1," * MOST + b"1]}")


def test_nul_is_named_by_its_path() -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(b'{"tasks":[{},{"a":{"b":"\\u0000"}}]}')
    assert list(refused.value.fields) == ["tasks.1.a.b"]


def test_members_are_looked_at_before_their_values() -> None:
    def check(found: dict[str, Any]) -> None:
        raise InvalidRequest(",".join(found))

    body = orjson.dumps({"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}, "g": 1})
    with pytest.raises(InvalidRequest, match="a,g"):
        asyncio.run(parse_in_slices(body, DEPTH, MOST, check))


MANY = {f"n{number}": number for number in range(20_000)}


@pytest.mark.parametrize(
    "found",
    [{"tasks": [{"task_id": n} for n in range(10_000)]}, {"tasks": MANY}, {"tasks": [[MANY]]}],
    ids=["a list", "an object", "one item"],
)
async def test_others_get_turns_meanwhile(found: dict[str, Any]) -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    body = orjson.dumps(found)
    beside = asyncio.create_task(others())
    assert await parse_in_slices(body, DEPTH, MOST) == found
    beside.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await beside
    assert turns >= len(body) // SLICE + 20_000 // VALUES
