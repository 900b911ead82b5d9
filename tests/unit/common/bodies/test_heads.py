"""Number and key of a delivery, from its first bytes."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from kerma_common.errors import InvalidRequest
from kerma_common.http.body.heads import LATE, MISSING, MOST, TWICE, Head, identity_of

KEYS = {"simulation_id": 4, "update_key": "a.b.c"}
NESTED = {"estimators": [{"simulation_id": 5, "update_key": "other", "x": float("nan")}]}


def read(raw: bytes, *, zipped: bool = False, step: int = 1000) -> tuple[tuple[Any, Any], int]:
    """Return what is found, and how many bytes were looked at."""
    head = Head(gzipped=zipped)
    for start in range(0, len(raw), step):
        if head.feed(raw[start : start + step]):
            return head.identity(), start + step
    return head.identity(), len(raw)


def refusal(raw: bytes, **how: Any) -> dict[str, Any]:
    with pytest.raises(InvalidRequest) as refused:
        read(raw, **how)
    return dict(refused.value.fields)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("step", [1, 7, 100_000])
@pytest.mark.parametrize("body", [{**KEYS, **NESTED}, {**NESTED, **KEYS}])
def test_the_members_of_the_body_itself_are_found(
    body: dict[str, Any], step: int, zipped: bool
) -> None:
    raw = json.dumps(body).encode()
    raw = gzip.compress(raw) if zipped else raw
    assert read(raw, zipped=zipped, step=step)[0] == (4, "a.b.c")


async def test_nothing_behind_the_key_is_looked_at() -> None:
    raw = json.dumps(KEYS).encode()[:-1] + b", " + b"\xff" * 100_000
    assert read(raw, step=10)[1] < 60
    assert await identity_of(raw) == (4, "a.b.c")


@pytest.mark.parametrize("name", KEYS)
async def test_a_member_that_comes_twice_is_refused(name: str) -> None:
    """Behind the second of the two, it is refused where the whole body is read."""
    raw = json.dumps({name: KEYS[name]}).encode()[:-1] + b"," + json.dumps(KEYS).encode()[1:]
    assert refusal(raw) == {name: [TWICE]}
    with pytest.raises(InvalidRequest):
        await identity_of(raw)


@pytest.mark.parametrize(
    ("raw", "fields"),
    [
        (b"", {"simulation_id": [MISSING], "update_key": [MISSING]}),
        (b"{}", {"simulation_id": [MISSING], "update_key": [MISSING]}),
        (b'{"simulation_id": 4,', {"update_key": [MISSING]}),
        (b'{"simulation_id": 4, "estimators": [' + b"0," * MOST, {"update_key": [LATE]}),
        (b" " * 2 * MOST, {"simulation_id": [LATE], "update_key": [LATE]}),
        (b'{"update_key":"' + b"x" * 2 * MOST, {"simulation_id": [LATE], "update_key": [LATE]}),
        (b"[" * 2 * MOST, {"body": ["Must be an object."]}),
        (b"4", {"simulation_id": [MISSING], "update_key": [MISSING]}),
    ],
)
def test_bodies_without_a_key(raw: bytes, fields: dict[str, list[str]]) -> None:
    assert refusal(raw) == fields
    if len(raw) > MOST:
        assert refusal(gzip.compress(raw), zipped=True) == fields


@pytest.mark.parametrize(
    "raw", [b"simulation", b"{\xff}", b'{"simulation_id": 9' + b"9" * 5000 + b","]
)
def test_what_is_no_json(raw: bytes) -> None:
    assert list(refusal(raw)) == ["body"]


def test_gzip_is_bounded_before_and_after() -> None:
    assert list(refusal(b"no gzip", zipped=True)) == ["body"]
    endless_name = gzip.compress(b"")[:3] + b"\x08" + gzip.compress(b"")[4:10] + b"x" * 2 * MOST
    assert set(refusal(endless_name, zipped=True)) == {"simulation_id", "update_key"}


@pytest.mark.parametrize("value", [None, [], {}, 4.5, "4", True])
async def test_values_of_any_type_are_passed_on_to_be_refused(value: object) -> None:
    number, _ = await identity_of(json.dumps({**KEYS, "simulation_id": value}).encode())
    assert number is None or number in ("4", 4.5, True)
